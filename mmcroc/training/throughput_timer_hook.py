"""Images per second beside MMEngine's timings."""

from mmengine.dist import get_world_size
from mmengine.hooks import IterTimerHook

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class ThroughputTimerHook(IterTimerHook):
    """Also logs ``images_per_second``: source images over all ranks, data loading included."""

    def _after_iter(self, runner, batch_idx, data_batch=None, outputs=None, mode='train'):
        super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
        if mode == 'train' and data_batch is not None:
            images = len(data_batch['data_samples']) * get_world_size()
            seconds = runner.message_hub.get_scalar('train/time').current()
            runner.message_hub.update_scalar('train/images_per_second', images / seconds)
