"""A sampler whose samples, and whose place in the epoch, can be reproduced."""

from itertools import count, islice

from mmengine.dataset import DefaultSampler

from mmcroc.data.sample_seed import SampleIndex
from mmcroc.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler`` with seeded samples and a start in the middle of an epoch.

    The order and its division over ranks are the ``DefaultSampler``'s. Every index is a
    :class:`~mmcroc.data.sample_seed.SampleIndex`: with a data set that heeds it, a sample
    depends on (seed, epoch, index) alone, not on workers, ranks or history.

    Args:
        dataset (Sized): The data set.
        shuffle (bool): Shuffle, anew in each epoch. Defaults to True.
        seed (int, optional): Seed of order and samples, the same on all ranks. Defaults to None:
            drawn once and shared between the ranks.
        round_up (bool): Repeat some samples so that all ranks get equally many. Defaults to True.
    """

    def __init__(self, dataset, shuffle=True, seed=None, round_up=True):
        super().__init__(dataset, shuffle=shuffle, seed=seed, round_up=round_up)
        self._start = 0

    def set_start(self, num_samples):
        """Leave out the first samples of this rank, in the next pass only (to resume there).

        ``len()`` stays that of a whole epoch: MMEngine plans the training by it.

        Args:
            num_samples (int): Samples of this rank that the epoch has already used: iterations
                done in the epoch times the batch size.

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

    def __iter__(self):
        start, self._start = self._start, 0
        indices = islice(super().__iter__(), start, None)
        return iter([SampleIndex(index, self.seed, self.epoch) for index in indices])


@DATA_SAMPLERS.register_module()
class EndlessEpochSampler(EpochSampler):
    """Epoch after epoch without end, for training that is counted in iterations.

    Every epoch has an order of its own; a batch may hold an epoch's last samples and the next
    one's first. :meth:`skip` is what MMEngine's iteration-based loop asks for when it resumes.
    """

    def skip(self, num_samples):
        """Begin the next pass after this rank's first so many samples.

        Args:
            num_samples (int): Samples of this rank that training has already used.
        """
        epochs, rest = divmod(num_samples, len(self))
        self.set_epoch(epochs)
        self.set_start(rest)

    def __iter__(self):
        for epoch in count(self.epoch):
            self.set_epoch(epoch)
            yield from super().__iter__()
