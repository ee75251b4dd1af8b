"""Fractions of a training set: published lists of names, or an own sample balanced by class."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcroc.evaluation.training_images import TrainingImages, with_pipeline
from mmcroc.foreign_files import read_text
from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.registry import DATASETS

#: Seeds of the published lists.
SEEDS = (42, 400, 783, 1293, 4019)
#: Lists of open-hummingbird-eval (MIT licence, within), one folder a data set.
LISTS = Path(__file__).with_name('low_shot.zip')


def listed_images(lists: str, fraction: int, seed: int, names: Sequence[str]) -> Tensor:
    """Find the images of a published low-shot list.

    Args:
        lists: 'voc' (trainaug) or 'ade20k' (training), the lists of open-hummingbird-eval; or a
            folder laid out like them, ``1_div_8/{any}_8_42.txt``: a name a line.
        fraction: Denominator of the fraction.
        seed: Seed in the list's name.
        names: Names of all training images, without folder and suffix.

    Returns:
        Whether each image is in the list, bool (N,).

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: The list names images that there are not.
    """
    known = lists in ('voc', 'ade20k')
    root = zipfile.Path(LISTS) / lists if known else Path(lists)
    folder, end = root / f'1_div_{fraction}', f'_{fraction}_{seed}.txt'
    files = (
        [file for file in folder.iterdir() if file.name.endswith(end)] if folder.is_dir() else []
    )
    if len(files) != 1:
        raise FileNotFoundError(
            f'low_shot={lists} has no list of 1/{fraction} with seed {seed} (1_div_{fraction}/*'
            f"{end}); without low_shot a sample balanced by class takes the lists' place"
        )
    text = files[0].read_text(encoding='utf-8') if known else read_text(str(files[0]))
    listed = set(text.split())
    missing = listed.difference(names)
    if missing:
        raise ValueError(
            f'low_shot={lists}: {len(missing)} of the {len(listed)} images of {files[0].name} are '
            f'not among the {len(names)} training images, {min(missing)} for one: the lists belong '
            'to another data set'
        )
    return torch.tensor([name in listed for name in names])


def balanced_sample(presence: Tensor, number: int, seed: int) -> Tensor:
    """Sample images class by class in turn, each class giving the next of its images.

    Images are in a random order. A larger sample of the same seed holds a smaller one.

    Args:
        presence: Whether each image has pixels of each class, bool (N, C).
        number: Number of images, at most N.
        seed: Seed of the order.

    Returns:
        Whether each image was sampled, bool (N,).
    """
    order = np.random.default_rng(seed).permutation(len(presence))
    queues = [iter(order[column[order]].tolist()) for column in presence.numpy().T]
    chosen: dict[int, None] = {}
    while queues and len(chosen) < number:
        for queue in list(queues):
            image = next((image for image in queue if image not in chosen), None)
            if image is None:
                queues.remove(queue)
            elif len(chosen) < number:
                chosen[image] = None
    for image in order.tolist():  # images without any class, where all others are in
        if len(chosen) < number:
            chosen.setdefault(image)
    sampled = torch.zeros(len(presence), dtype=torch.bool)
    sampled[list(chosen)] = True
    return sampled


def class_presence(images: TrainingImages, pipeline: list[dict], num_classes: int) -> Tensor:
    """Whether training images have pixels of each class, read from their masks alone.

    Every rank must call.

    Args:
        images: Training images, given by a config.
        pipeline: Transforms, of which those that load annotations are run.
        num_classes: Number C of classes.

    Returns:
        Presence, bool (N, C).
    """
    assert images.config is not None
    loading = [step for step in pipeline if step['type'].endswith('Annotations')]
    dataset: Any = DATASETS.build(with_pipeline(images.config, loading))
    presence = torch.zeros(len(dataset), num_classes, dtype=torch.uint8)
    for number in range(get_rank(), len(dataset), get_world_size()):
        found = np.unique(dataset[number]['gt_seg_map'])
        presence[number, torch.from_numpy(found[found < num_classes].astype(np.int64))] = 1
    return all_reduce_sum(presence).bool()
