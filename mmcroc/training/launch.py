"""Start of a run: what MMEngine is told once, and undone at the run's end."""

import contextlib
import logging
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmcroc.training.checkpoints import safe_checkpoint_reading

#: Hooks that MMEngine's Runner registers by itself, so that only it can leave them out.
MMENGINE_HOOKS = frozenset(
    ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
)


@contextlib.contextmanager
def start(cfg: Config) -> Iterator[Runner]:
    """Build the Runner of a config, for a run that is as safe and as exact as our tools' runs.

    Inside the block MMEngine reads checkpoints (``resume``, ``load_from``, ``init_cfg``) without
    running anything they bring (:func:`~mmcroc.training.checkpoints.safe_checkpoint_reading`). A
    launched run without a GPU gets ranks on CPUs (:func:`prepare_cpu_ranks`), which outlive the
    block, and a hook that is None is left out (:func:`leave_out_unset_hooks`).

    Example:
        >>> with start(mmcroc.read_config('mmcroc::croc_vit-t_scenes.py')) as runner:
        ...     runner.train()

    Args:
        cfg: The run's config, changed in place.

    Yields:
        The Runner, ready to train, validate or test.
    """
    leave_out_unset_hooks(cfg)
    prepare_cpu_ranks(cfg)
    with safe_checkpoint_reading():
        yield RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def prepare_cpu_ranks(cfg: Config) -> None:
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


def leave_out_unset_hooks(cfg: Config) -> None:
    """Let ``default_hooks.NAME=None`` turn off any hook that a config inherits.

    MMEngine's Runner lets None turn off its own hooks alone; any other None is a bare
    AssertionError.

    Args:
        cfg: The run's config, changed in place.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in MMENGINE_HOOKS:
            del hooks[name]
