"""Several ranks on machines without a GPU."""

import logging
import os

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log


def prepare_cpu_ranks(cfg: Config):
    """Let ``--launcher pytorch`` run on a machine without a GPU, over gloo.

    MMEngine's own start selects a CUDA device; so the process group has to exist before its
    Runner does, and the model wrapper must not be given device numbers. Batch norms stay each
    rank's own: torch synchronises them on GPUs only. On a machine with a GPU this does nothing.

    Args:
        cfg: The run's config, changed in place.
    """
    if cfg.get('launcher') != 'pytorch' or torch.cuda.is_available():
        return
    if not dist.is_initialized():
        dist.init_process_group('gloo')
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // dist.get_world_size()))
    if cfg.pop('sync_bn', None):
        print_log(
            "sync_bn: torch's SyncBatchNorm needs GPUs; every rank keeps its own batch norms",
            logger='current',
            level=logging.WARNING,
        )
    cfg.setdefault(
        'model_wrapper_cfg',
        dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False),
    )
