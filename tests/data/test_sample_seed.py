"""Randomness of samples, samplers, and transforms sampled again."""

import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler

from mmcroc.data.sample_seed import (
    EndlessEpochSampler,
    EpochSampler,
    SampleIndex,
    SeededSamples,
    seeded_generators,
)
from mmcroc.registry import DATA_SAMPLERS, TRANSFORMS


class Draws(SeededSamples, BaseDataset):
    """A data set whose samples are draws from all three global generators."""

    def __init__(self):
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [{}] * 8

    def prepare_data(self, idx):
        return draw()


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_index_is_an_int_and_survives_pickling():
    index = SampleIndex(5, seed=7, epoch=2)
    copy = pickle.loads(pickle.dumps(index))
    assert list(range(10))[copy] == 5
    assert (copy, copy.seed, copy.epoch) == (5, 7, 2)


@pytest.mark.parametrize('other', [(4, 7, 2), (5, 8, 2), (5, 7, 3)])
def test_sample_depends_on_index_seed_and_epoch(other):
    dataset = Draws()
    sample, changed = dataset[SampleIndex(5, 7, 2)], dataset[SampleIndex(*other)]
    assert all(a != b for a, b in zip(sample, changed, strict=True))


def test_sample_does_not_depend_on_history():
    dataset = Draws()
    sample = dataset[SampleIndex(5, 7, 2)]
    draw()
    dataset[SampleIndex(1, 0, 0)]
    assert dataset[SampleIndex(5, 7, 2)] == sample


def test_main_process_gets_its_generators_back_even_after_an_error():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    with pytest.raises(KeyError), seeded_generators(1, 2, 3):
        draw()
        raise KeyError
    assert draw() == expected


def test_plain_index_uses_the_global_generators():
    dataset = Draws()
    np.random.seed(3)  # noqa: NPY002
    sample = dataset[5]
    assert dataset[5] != sample
    np.random.seed(3)  # noqa: NPY002
    assert dataset[5][1] == sample[1]


def build(cls=EpochSampler, size=10, rank=0, world_size=1, **kwargs):
    """A sampler as it would be on a rank of several."""
    sampler = cls(list(range(size)), seed=3, **kwargs)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.num_samples = -(-size // world_size)
    sampler.total_size = sampler.num_samples * world_size
    return sampler


@pytest.mark.parametrize('rank', [0, 1, 2])
def test_order_and_ranks_are_those_of_the_default_sampler(rank):
    ours, theirs = build(rank=rank, world_size=3), build(DefaultSampler, rank=rank, world_size=3)
    for epoch in (0, 4):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert list(ours) == list(theirs)


def test_indices_carry_seed_and_epoch():
    sampler = build()
    sampler.set_epoch(4)
    assert all(type(i) is SampleIndex and (i.seed, i.epoch) == (3, 4) for i in sampler)


def test_start_skips_in_the_next_pass_only():
    sampler = build()
    whole = list(sampler)
    sampler.set_start(4)
    assert len(sampler) == 10
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole


def test_start_survives_set_epoch():
    sampler = build()
    sampler.set_start(4)
    sampler.set_epoch(1)
    assert len(list(sampler)) == 6


@pytest.mark.parametrize('start', [-1, 11])
def test_impossible_start_is_refused(start):
    with pytest.raises(ValueError, match=r'10 samples'):
        build().set_start(start)


def test_config_finds_it_by_its_prefix():
    cfg = dict(type='mmcroc.EpochSampler', dataset=[1, 2, 3], seed=0)
    assert isinstance(DATA_SAMPLERS.build(cfg), EpochSampler)


@pytest.mark.parametrize('used', [0, 3, 10, 27])
def test_endless_epochs_go_on_where_they_stopped(used):
    epochs = build()
    want = []
    for epoch in range(5):
        epochs.set_epoch(epoch)
        want += list(epochs)
    endless = build(EndlessEpochSampler)
    endless.skip(used)
    found = list(islice(endless, 20))
    assert found == want[used : used + 20]
    assert [i.epoch for i in found] == [i.epoch for i in want[used : used + 20]]


def drawn(draw, place):
    """Where a crop is taken from, and whether it is flipped."""
    rows, columns = np.indices((100, 100), dtype=np.uint8)
    image = np.stack([rows, columns, rows], -1)
    transforms = [
        dict(type='mmcroc.RandomResizedCropWithLabels', size=8, scale=(0.1, 0.5)),
        dict(type='mmseg.RandomFlip', prob=0.5),
    ]
    pipeline = TRANSFORMS.build(dict(type='mmcroc.FixedDraw', transforms=transforms, draw=draw))
    return pipeline(dict(img=image, img_shape=(100, 100), sample_idx=place))['img']


def test_a_draw_repeats_whatever_was_drawn_before():
    want = drawn(1, 3)
    torch.rand(5), np.random.rand(5)  # noqa: NPY002
    np.testing.assert_array_equal(drawn(1, 3), want)


def test_draws_and_images_differ():
    pictures = [drawn(draw, place) for draw in range(2) for place in range(3)]
    assert len({picture.tobytes() for picture in pictures}) == 6


def test_the_generators_outside_are_left_as_they_were():
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    drawn(0, 0)
    assert torch.equal(torch.rand(3), want)


def test_an_image_without_a_place_is_refused():
    pipeline = TRANSFORMS.build(dict(type='mmcroc.FixedDraw', transforms=[]))
    with pytest.raises(KeyError, match='no sample_idx'):
        pipeline({})
