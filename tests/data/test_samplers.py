from itertools import islice

import pytest
from mmengine.dataset import DefaultSampler

from mmcroc.data.sample_seed import SampleIndex
from mmcroc.data.samplers import EndlessEpochSampler, EpochSampler
from mmcroc.registry import DATA_SAMPLERS


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
