"""Randomness of one sample: a function of (seed, epoch, index) and of nothing else.

MMEngine seeds each worker once, so what a sample looks like depends on the number of workers and
on everything drawn before it; a resumed run can never repeat it. Here the sampler sends the seed
and the epoch along with every index, and the data set seeds the *global* generators from the
three before it touches the sample. So any transform inherits this, whichever package it is from.
"""

import random
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import get_worker_info


class SampleIndex(int):
    """A sample's index that also carries the seed and epoch its randomness depends on.

    It is an ``int``, so every data set takes it; arithmetic gives a plain ``int`` again.

    Args:
        index (int): Index of the sample.
        seed (int): Seed of the run, >= 0.
        epoch (int): Epoch, >= 0.
    """

    def __new__(cls, index, seed, epoch):
        self = super().__new__(cls, index)
        self.seed = seed
        self.epoch = epoch
        return self

    def __reduce__(self):  # indices are pickled on their way to the workers
        return type(self), (int(self), self.seed, self.epoch)

    def __repr__(self):
        return f'SampleIndex({int(self)}, seed={self.seed}, epoch={self.epoch})'


@contextmanager
def seeded_generators(*entropy):
    """Seed ``random``, ``numpy.random`` and torch's CPU generator for a while.

    The main process gets its generators back afterwards, so that its own randomness (dropout,
    seeds of clusterings) stays apart from the data's. Workers have none of their own: there the
    step is left out, since it takes 150 of 200 us.

    Args:
        *entropy (int): Non-negative integers, here (seed, epoch, index), mixed by
            ``numpy.random.SeedSequence`` so that neighbours share nothing.
    """
    words = np.random.SeedSequence(entropy).generate_state(4, np.uint64)
    before = _get_states() if get_worker_info() is None else None
    random.seed(int(words[0]))
    np.random.seed(words[1:3].view(np.uint32))  # noqa: NPY002
    # Not torch.manual_seed: it also queues a seeding of the GPU, slow and with side effects.
    torch.default_generator.manual_seed(int(words[3]))
    try:
        yield
    finally:
        if before is not None:
            _set_states(before)


def _get_states():
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set_states(states):
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


class SeededSamples:
    """Mixin for data sets: a :class:`SampleIndex` fixes the sample's randomness.

    A plain ``int`` leaves the generators alone, as in any other data set of MMEngine. Put it
    before the base class: ``class MyImages(SeededSamples, BaseDataset)``.
    """

    def __getitem__(self, idx):
        if not isinstance(idx, SampleIndex):
            return super().__getitem__(idx)
        with seeded_generators(idx.seed, idx.epoch, int(idx)):
            return super().__getitem__(int(idx))
