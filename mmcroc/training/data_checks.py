"""What training refuses: unreadable images beyond a limit, labels that a head does not have."""

from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class UnreadableImagesHook(Hook):
    """Report unreadable images once each, and stop the training when there are too many.

    The data set replaces an unreadable image by another one and notes it in the sample's metainfo
    ``unreadable``, a tuple of (path, reason). This hook collects the notes, since a data set in a
    worker knows of its own part only. Between ends of epochs each rank counts what it met itself,
    so that no iteration has to wait for the others; at the end of an epoch all ranks' files count.

    Args:
        max_unreadable: Number of distinct unreadable files that training goes on with. 0 stops at
            the first one.

    Raises:
        RuntimeError: More files than that; it lists them.
    """

    def __init__(self, max_unreadable: int = 10) -> None:
        if max_unreadable < 0:
            raise ValueError(
                f'UnreadableImagesHook.max_unreadable must be >= 0, but is {max_unreadable}.'
            )
        self.max_unreadable = max_unreadable
        self.unreadable: dict[str, str] = {}  # path -> reason

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
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

    def after_train_epoch(self, runner: Runner) -> None:
        """Unite the files of all ranks; then all of them stop, or none."""
        for others in all_gather_object(self.unreadable):
            self.unreadable = {**others, **self.unreadable}
        self._check_limit()

    def after_train(self, runner: Runner) -> None:
        """Sum up in one line."""
        if self.unreadable:
            runner.logger.warning(
                f'{len(self.unreadable)} images could not be read and were replaced by others: '
                f'{", ".join(sorted(self.unreadable))}'
            )
        else:
            runner.logger.info('All images met in training could be read.')

    def _check_limit(self) -> None:
        if len(self.unreadable) <= self.max_unreadable:
            return
        listed = '\n'.join(f'  {path}: {reason}' for path, reason in self.unreadable.items())
        raise RuntimeError(
            f'{len(self.unreadable)} images cannot be read, more than '
            f'UnreadableImagesHook.max_unreadable={self.max_unreadable}:\n{listed}\n'
            'Repair or remove them, or raise max_unreadable.'
        )


@HOOKS.register_module()
class NumClassesCheckHook(Hook):
    """Compare ``decode_head.num_classes`` with the data sets' classes, and with the labels.

    It compares numbers of classes before training and before a test, and each training batch's
    labels before they reach the loss, where a label too high is an index out of bounds, on a GPU
    one that kills the process without saying which image it was.

    Raises:
        ValueError: They do not fit; the message says what to set.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check the training and, where there is one, the validation set."""
        self._check_classes(runner, 'train_dataloader')
        if runner.val_loop is not None:
            self._check_classes(runner, 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        self._check_classes(runner, 'test_dataloader')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Check the labels of a batch."""
        head = _heads(runner.model)[0]
        for sample in data_batch['data_samples']:
            labels = sample.gt_sem_seg.data
            wrong = labels[(labels >= head.num_classes) & (labels != head.ignore_index)]
            if len(wrong):
                raise ValueError(
                    f'{sample.get("seg_map_path", "a label map")} has labels '
                    f'{wrong.unique().tolist()[:5]}, but model.decode_head.num_classes is '
                    f'{head.num_classes}: labels must be 0-{head.num_classes - 1}, or '
                    f'{head.ignore_index} to ignore. Are these the files that '
                    f'{type(runner.train_dataloader.dataset).__name__} reads '
                    '(train ids, not label ids)?'
                )

    @staticmethod
    def _check_classes(runner: Runner, name: str) -> None:
        dataset = getattr(runner, name).dataset
        classes = dataset.metainfo.get('classes')
        if classes is None:
            return
        for head in _heads(runner.model):
            if head.num_classes != len(classes):
                raise ValueError(
                    f'model.decode_head.num_classes is {head.num_classes}, but '
                    f'{name}.dataset ({type(dataset).__name__}) has {len(classes)} classes '
                    f'({", ".join(classes[:3])}, ...). Set model.decode_head.num_classes='
                    f'{len(classes)}, or select classes by {name}.dataset.metainfo='
                    'dict(classes=[...])'
                )


def _heads(model: Any) -> list[Any]:
    """Decode heads of a segmentor: one, or those of a cascade."""
    head = (model.module if is_model_wrapper(model) else model).decode_head
    return [head] if hasattr(head, 'num_classes') else list(head)
