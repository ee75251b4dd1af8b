"""A head that does not fit its labels is named before it trains."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class NumClassesCheckHook(Hook):
    """Compare ``decode_head.num_classes`` with the data sets' classes, and with the labels.

    The numbers of classes before training and before a test; each training batch's labels before
    it reaches the loss, where a label too high is an index out of bounds, on a GPU one that kills
    the process without saying which image it was.

    Raises:
        ValueError: They do not fit; the message says what to set.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        """The training and, where there is one, the validation set."""
        self._check_classes(runner, 'train_dataloader')
        if runner.val_loop is not None:
            self._check_classes(runner, 'val_dataloader')

    def before_test(self, runner):
        """The test set."""
        self._check_classes(runner, 'test_dataloader')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """The labels of a batch."""
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
    def _check_classes(runner, name):
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


def _heads(model):
    """The decode heads: one, or those of a cascade."""
    head = (model.module if is_model_wrapper(model) else model).decode_head
    return [head] if hasattr(head, 'num_classes') else list(head)
