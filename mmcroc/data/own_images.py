"""A user's own labelled images: a folder of images, and one of masks by the same names."""

import math
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmcroc.data.each_image import for_each_image
from mmcroc.data.image_reading import load_picture
from mmcroc.data.unlabelled import scan_images
from mmcroc.registry import DATASETS

IGNORE = 255
#: Number of masks from which several processes read them sooner than one.
MANY = 2000


def images_with_masks(
    images: str | os.PathLike[str], masks: str | os.PathLike[str]
) -> list[tuple[str, str]]:
    """List the images that have a mask, and the masks, sorted by name.

    Args:
        images: Folder of images, at any depth.
        masks: Folder of masks, laid out alike; suffixes may differ.

    Returns:
        Paths of each image and its mask.

    Raises:
        ValueError: There are none, or two files that differ in their suffix alone.
    """
    named = _by_stem(images), _by_stem(masks)
    both = sorted(named[0].keys() & named[1].keys())
    if not both:
        looked = [next(iter(found), 'none') for found in named]
        raise ValueError(
            f"no image of {images} has a mask in {masks}: a mask bears its image's name, here "
            f'e.g. {looked[0]} and {looked[1]}'
        )
    return [(named[0][stem], named[1][stem]) for stem in both]


def _by_stem(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Paths of the images of a folder, by their place in it without the suffix."""
    found: dict[str, str] = {}
    for path in scan_images(folder):
        stem = os.path.splitext(os.path.relpath(path, folder))[0]
        if stem in found:
            raise ValueError(f'{found[stem]} and {path} bear one name: keep one of them')
        found[stem] = path
    return found


def split_pairs(
    pairs: Sequence[tuple[str, str]], split: str, val_fraction: float, seed: int
) -> list[tuple[str, str]]:
    """The training or the validation share of images, a random choice; in order.

    Args:
        pairs: Images and masks.
        split: ``'train'`` or ``'val'``.
        val_fraction: Share of ``'val'``, rounded up.
        seed: Seed of the choice.

    Raises:
        ValueError: A share is empty.
    """
    number = math.ceil(val_fraction * len(pairs))
    if not 0 < number < len(pairs):
        raise ValueError(
            f'val_fraction={val_fraction} of {len(pairs)} images leaves nothing to '
            f'{"learn from" if number else "score"}'
        )
    chosen = set(np.random.default_rng(seed).permutation(len(pairs))[:number].tolist())
    return [pair for i, pair in enumerate(pairs) if (i in chosen) == (split == 'val')]


def class_values(
    pairs: Sequence[tuple[str, str]], classes: Sequence[str] | None, classes_file: str
) -> list[int]:
    """The values of the classes in masks, all of which are read once, with a progress bar.

    Args:
        pairs: Images and masks.
        classes: Names of classes 0, 1, ...; None: every value met is a class.
        classes_file: Where they stand, for errors.

    Returns:
        Values in ascending order, without 255.

    Raises:
        ValueError: A mask cannot be read, is not of numbers, or holds another value.
    """
    jobs = [(mask,) for _, mask in pairs]
    known = None if classes is None else len(classes)
    read = partial(_values, num_classes=known, classes_file=classes_file)
    found, failed = for_each_image(jobs, read, 1 if len(jobs) < MANY else os.cpu_count() or 1)
    if failed:
        shown = '; '.join(list(failed.values())[:3])
        raise ValueError(f'{len(failed)} of {len(jobs)} masks cannot be used: {shown}')
    if known is not None:
        return list(range(known))
    values = sorted(set().union(*found.values()) - {IGNORE})
    if not values:
        raise ValueError(f'all masks hold {IGNORE} alone, which marks what does not count')
    return values


def _values(path: str, num_classes: int | None, classes_file: str) -> set[int]:
    """The values of a mask, checked."""
    with load_picture(path) as mask:
        if len(mask.getbands()) != 1 or mask.mode == 'F':
            raise ValueError(
                f'{path} is a picture of mode {mask.mode}; a mask has one channel that holds the '
                'numbers of classes'
            )
        values = set(np.unique(np.asarray(mask)).tolist())
    most = IGNORE if num_classes is None else num_classes
    strange = sorted(int(value) for value in values if not 0 <= value < most and value != IGNORE)
    if strange:
        those = f'{classes_file} names {num_classes} classes, 0 to {most - 1}, and'
        raise ValueError(
            f'{path} holds {", ".join(map(str, strange[:5]))}: '
            f'{those if num_classes is not None else "classes are numbered 0 to 254, and"} '
            f'{IGNORE} marks what does not count'
        )
    return {int(value) for value in values}


@DATASETS.register_module()
class OwnImagesDataset(BaseSegDataset):
    """A folder of images and a folder of masks by the same names, one share of a random split.

    Args:
        images: Folder of the images.
        masks: Folder of the masks.
        split: ``'train'`` or ``'val'``.
        values: Values of the classes in the masks; 255 is ignored.
        val_fraction: Share of ``'val'``.
        split_seed: Seed of the split.
        **kwargs: Arguments of ``BaseSegDataset``; ``metainfo`` names the classes.
    """

    def __init__(
        self,
        images: str,
        masks: str,
        split: str,
        values: Sequence[int],
        val_fraction: float = 0.2,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.folders = images, masks
        self.share = split, val_fraction, split_seed
        self.value_map = {value: i for i, value in enumerate(values) if value != i} or None
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the samples of the split."""
        return [
            dict(
                img_path=image, seg_map_path=mask, label_map=None, reduce_zero_label=False,
                seg_fields=[],
            )
            for image, mask in split_pairs(images_with_masks(*self.folders), *self.share)
        ]  # fmt: skip

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return one sample's paths and the class of each value."""
        return dict(super().get_data_info(idx), label_map=self.value_map)
