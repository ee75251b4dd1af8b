"""Tell of images that could not be read, and stop when they are too many."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Report unreadable images once each, and stop the training when there are too many.

    The data set replaces an unreadable image by another one and notes it in the sample's metainfo
    ``unreadable``, a tuple of (path, reason). This hook collects the notes, since a data set in a
    worker knows of its own part only. Between ends of epochs each rank counts what it met itself,
    so that no iteration has to wait for the others; at the end of an epoch all ranks' files count.

    Args:
        max_unreadable (int): Number of distinct files to put up with. 0 stops at the first one.
            Defaults to 10.

    Raises:
        RuntimeError: More files than that; it lists them.
    """

    def __init__(self, max_unreadable=10):
        if max_unreadable < 0:
            raise ValueError(
                f'UnreadableImagesHook.max_unreadable must be >= 0, but is {max_unreadable}.'
            )
        self.max_unreadable = max_unreadable
        self.unreadable = {}  # path -> reason

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Collect the notes of a batch (a dict with the list ``data_samples``)."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        found = False
        for sample in samples or ():
            for path, reason in sample.get('unreadable', ()):
                if path not in self.unreadable:
                    self.unreadable[path] = reason
                    runner.logger.warning(f'Unreadable image {path}: {reason}')
                    found = True
        if found:
            self._check_limit()

    def after_train_epoch(self, runner):
        """Unite the files of all ranks; then all of them stop, or none."""
        for others in all_gather_object(self.unreadable):
            self.unreadable = {**others, **self.unreadable}
        self._check_limit()

    def after_train(self, runner):
        """Sum up in one line."""
        if self.unreadable:
            runner.logger.warning(
                f'{len(self.unreadable)} images could not be read and were replaced by others: '
                f'{", ".join(sorted(self.unreadable))}'
            )
        else:
            runner.logger.info('All images met in training could be read.')

    def _check_limit(self):
        if len(self.unreadable) <= self.max_unreadable:
            return
        listed = '\n'.join(f'  {path}: {reason}' for path, reason in self.unreadable.items())
        raise RuntimeError(
            f'{len(self.unreadable)} images cannot be read, more than '
            f'UnreadableImagesHook.max_unreadable={self.max_unreadable}:\n{listed}\n'
            'Repair or remove them, or raise max_unreadable.'
        )
