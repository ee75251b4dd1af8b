"""Randomness of one sample: a function of (seed, epoch, index) and of nothing else.

MMEngine seeds each worker once, so what a sample looks like depends on the number of workers and
on everything drawn before it; a resumed run can never repeat it. Here the sampler sends the seed
and the epoch along with every index, and the data set seeds the *global* generators from the
three before it touches the sample. So any transform inherits this, whichever package it is from.
"""

import random
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.dataset import DefaultSampler
from torch.utils.data import get_worker_info

from mmcroc.registry import DATA_SAMPLERS, TRANSFORMS


class SampleIndex(int):
    """A sample's index that also carries the seed and epoch its randomness depends on.

    It is an ``int``, so every data set takes it; arithmetic gives a plain ``int`` again. Seed and
    epoch are at least 0.
    """

    seed: int
    epoch: int

    def __new__(cls, index: int, seed: int, epoch: int) -> 'SampleIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        self.epoch = epoch
        return self

    # Indices are pickled on their way to the workers.
    def __reduce__(self) -> tuple[type, tuple[int, int, int]]:
        return type(self), (int(self), self.seed, self.epoch)

    def __repr__(self) -> str:
        return f'SampleIndex({int(self)}, seed={self.seed}, epoch={self.epoch})'


@contextmanager
def seeded_generators(*entropy: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator for a while.

    The main process gets its generators back afterwards, so that its own randomness (dropout,
    seeds of clusterings) stays apart from the data's. Workers have none of their own: there the
    step is left out, since it takes 150 of 200 us. ``numpy.random.SeedSequence`` mixes the
    non-negative integers, here (seed, epoch, index), so that neighbours share nothing.
    """
    words = np.random.SeedSequence(entropy).generate_state(4, np.uint64)
    before = None
    if get_worker_info() is None:
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(int(words[0]))
    np.random.seed(words[1:3].view(np.uint32))  # noqa: NPY002
    # Not torch.manual_seed: it also queues a seeding of the GPU, slow and with side effects.
    torch.default_generator.manual_seed(int(words[3]))
    try:
        yield
    finally:
        if before is not None:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
            torch.set_rng_state(before[2])


class SeededSamples:
    """Mixin for data sets: a :class:`SampleIndex` fixes the sample's randomness.

    A plain ``int`` leaves the generators alone, as in any other data set of MMEngine. Put it
    before the base class: ``class MyImages(SeededSamples, BaseDataset)``.
    """

    def __getitem__(self, idx: int) -> Any:
        if not isinstance(idx, SampleIndex):
            return super().__getitem__(idx)  # type: ignore[misc]  # of the data set
        with seeded_generators(idx.seed, idx.epoch, int(idx)):
            return super().__getitem__(int(idx))  # type: ignore[misc]


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler`` with seeded samples and a start in the middle of an epoch.

    The order and its division over ranks are the ``DefaultSampler``'s. Every index is a
    :class:`~mmcroc.data.sample_seed.SampleIndex`: with a data set that heeds it, a sample
    depends on (seed, epoch, index) alone, not on workers, ranks or history.

    Args:
        dataset: Data set to take samples of.
        shuffle: Shuffle, anew in each epoch. Defaults to True.
        seed: Seed of order and samples, the same on all ranks. Defaults to None: a
            random one, shared between the ranks.
        round_up: Repeat some samples so that all ranks get equally many. Defaults to True.
    """

    def __init__(
        self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True
    ) -> None:
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)
        self._start = 0

    def set_start(self, num_samples: int) -> None:
        """Leave out this rank's first samples, which the epoch has used, in the next pass only.

        ``len()`` stays that of a whole epoch: MMEngine plans the training by it.

        Raises:
            ValueError: Negative, or more than the epoch holds.
        """
        if not 0 <= num_samples <= len(self):
            raise ValueError(
                f'EpochSampler.set_start({num_samples}): an epoch has {len(self)} samples on this '
                'rank. Was the checkpoint written with another data set, batch size or number of '
                'processes?'
            )
        self._start = num_samples

    def __iter__(self) -> Iterator[int]:
        start, self._start = self._start, 0
        indices = islice(super().__iter__(), start, None)
        return iter([SampleIndex(index, self.seed, self.epoch) for index in indices])


@DATA_SAMPLERS.register_module()
class EndlessEpochSampler(EpochSampler):
    """Epoch after epoch without end, for training that is counted in iterations.

    Every epoch has an order of its own; a batch may hold an epoch's last samples and the next
    one's first. :meth:`skip` is what MMEngine's iteration-based loop asks for when it resumes.
    """

    def skip(self, num_samples: int) -> None:
        """Begin the next pass after so many samples of this rank, those of earlier epochs too."""
        epochs, rest = divmod(num_samples, len(self))
        self.set_epoch(epochs)
        self.set_start(rest)

    def __iter__(self) -> Iterator[int]:
        for epoch in count(self.epoch):
            self.set_epoch(epoch)
            yield from super().__iter__()


@TRANSFORMS.register_module()
class FixedDraw(Compose):
    """Transforms whose randomness is a function of (seed, draw, place of the image).

    Neither workers, ranks nor what was drawn before have a say.

    Required key: ``sample_idx``, as MMEngine's data sets give it.

    Args:
        transforms: Transforms or their configs.
        draw: Number of the draw, >= 0.
        seed: Seed of all draws, >= 0.
    """

    def __init__(
        self,
        transforms: Sequence[dict[str, Any] | Callable[..., Any]],
        draw: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(transforms)
        self.draw, self.seed = draw, seed

    def transform(self, results: dict[str, Any]) -> Any:
        """Run the transforms with seeded generators.

        Raises:
            KeyError: There is no ``sample_idx``.
        """
        if 'sample_idx' not in results:
            raise KeyError(
                'FixedDraw: the data set gives no sample_idx, the place of an image; those derived '
                'from mmengine.dataset.BaseDataset do'
            )
        with seeded_generators(self.seed, self.draw, results['sample_idx']):
            return super().transform(results)
