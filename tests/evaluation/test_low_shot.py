"""Fractions of a training set."""

import itertools
import zipfile

import pytest
import torch

from mmcroc.evaluation.low_shot import LISTS, SEEDS, balanced_sample, class_presence, listed_images
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.registry import DATASETS
from tests.support.samples import PIPELINE, loader

SIZES = {'voc': {8: 1320, 64: 160, 128: 80}, 'ade20k': {8: 2550, 64: 300, 128: 150}}


def names_in(lists):
    """All names in the lists of a data set."""
    with zipfile.ZipFile(LISTS) as file:
        assert 'MIT License' in file.read('LICENSE').decode()
        found = [file.read(name).split() for name in file.namelist() if name.startswith(lists)]
    return sorted({name.decode() for names in found for name in names})


@pytest.mark.parametrize('lists', SIZES)
def test_published_lists_are_complete_and_nested(lists):
    names = names_in(lists)
    for seed in SEEDS:
        shots = {f: listed_images(lists, f, seed, names) for f in SIZES[lists]}
        assert {f: int(shot.sum()) for f, shot in shots.items()} == SIZES[lists]
        assert not (shots[128] & ~shots[64]).any() and not (shots[64] & ~shots[8]).any()


def test_lists_of_another_data_set_are_refused():
    with pytest.raises(ValueError, match=r'80 of the 80 images of trainaug_128_42.txt are not'):
        listed_images('voc', 128, 42, ['a', 'b'])


def test_missing_lists_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no list of 1/16 with seed 42'):
        listed_images('voc', 16, 42, [])
    with pytest.raises(FileNotFoundError, match=r'1_div_8/\*_8_42.txt'):
        listed_images(str(tmp_path), 8, 42, [])


def test_a_folder_of_lists_is_read(tmp_path):
    (tmp_path / '1_div_8').mkdir()
    (tmp_path / '1_div_8' / 'mine_8_3.txt').write_text('b\nd\n')
    assert listed_images(str(tmp_path), 8, 3, list('abcd')).tolist() == [False, True, False, True]


@pytest.mark.parametrize('seed', range(3))
def test_samples_are_balanced_by_class_and_nested(seed):
    presence = torch.zeros(100, 4, dtype=torch.bool)
    presence[:90, 0] = presence[90:95, 1] = presence[95:98, 2] = True  # two images without a class
    samples = [balanced_sample(presence, number, seed) for number in (9, 12, 50, 98, 100)]
    assert [int(sample.sum()) for sample in samples] == [9, 12, 50, 98, 100]
    assert presence[samples[0]].sum(0).tolist() == [3, 3, 3, 0]
    assert presence[samples[2]].sum(0).tolist() == [42, 5, 3, 0]
    for small, large in itertools.pairwise(samples):
        assert not (small & ~large).any()
    assert presence[samples[3]].any(1).all()


def test_seeds_give_samples_of_their_own():
    presence = torch.ones(100, 2, dtype=torch.bool)
    one, same, other = (balanced_sample(presence, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_presence_is_read_from_masks():
    images = TrainingImages(loader(5, 2, 'train'))
    found = class_presence(images, PIPELINE, 9)
    scenes = DATASETS.build(images.config)
    for scene, own in zip(scenes, found, strict=True):
        labels = scene['data_samples'].gt_sem_seg.data.unique().tolist()
        assert own.nonzero()[:, 0].tolist() == labels
