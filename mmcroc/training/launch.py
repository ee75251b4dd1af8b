"""Start of a run: what MMEngine is told once, and undone at the run's end."""

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from yapf.yapflib import yapf_api

from mmcroc.distributions import import_quietly
from mmcroc.sole_writer import sole_writer
from mmcroc.training.checkpoints import (
    TeacherWeightsHook,
    find_sound_checkpoint,
    safe_checkpoint_reading,
)
from mmcroc.training.first_screen import BriefRunner, FirstScreenHook
from mmcroc.training.termination import TerminationHook

#: Hooks that MMEngine's Runner registers by itself, so that only it can leave them out.
MMENGINE_HOOKS = frozenset(
    ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
)


@contextlib.contextmanager
def start(cfg: Config, verbose: bool = False) -> Iterator[Runner]:
    """Build the Runner of a config, for a run that is as safe and as exact as our tools' runs.

    Inside the block MMEngine reads checkpoints (``resume``, ``load_from``, ``init_cfg``) without
    running anything they bring (:func:`~mmcroc.training.checkpoints.safe_checkpoint_reading`). A
    launched run without a GPU gets ranks on CPUs (:func:`prepare_cpu_ranks`), which outlive the
    block, a hook that is None is left out (:func:`leave_out_unset_hooks`), data loaders fit the
    machine (:func:`fit_loaders`), and other models get CrOC's teacher
    (:class:`~mmcroc.training.checkpoints.TeacherWeightsHook`). The screen begins with what the run
    is (:class:`~mmcroc.training.first_screen.FirstScreenHook`); the log file holds all.

    A training has its work dir to itself, resumes from the newest checkpoint that is sound
    (:func:`~mmcroc.training.checkpoints.find_sound_checkpoint`), and SIGTERM makes it write one
    (:class:`~mmcroc.training.termination.TerminationHook`).

    Example:
        >>> with start(mmcroc.read_config('mmcroc::croc_vit-t_scenes.py')) as runner:
        ...     runner.train()

    Args:
        cfg: The run's config, changed in place.
        verbose: Whether the screen shows what MMEngine logs before training, config and hooks.

    Yields:
        The Runner, ready to train, validate or test.
    """
    leave_out_unset_hooks(cfg)
    prepare_cpu_ranks(cfg)
    fit_loaders(cfg)
    import_quietly('mmpretrain.datasets', 'mmseg.datasets')
    with contextlib.ExitStack() as stack:
        stack.enter_context(safe_checkpoint_reading())
        stack.enter_context(formatting_once())
        stack.enter_context(missing_image_lists())
        if 'runner_type' in cfg:
            yield RUNNERS.build(cfg)
            return
        if cfg.get('train_dataloader') and cfg.get('work_dir'):
            if _launched_rank() == 0:
                stack.enter_context(sole_writer(cfg.work_dir))
            if cfg.get('resume') and not cfg.get('load_from'):
                cfg.load_from = find_sound_checkpoint(cfg.work_dir)
        runner = (Runner if verbose else BriefRunner).from_cfg(cfg)
        runner.register_hook(TeacherWeightsHook())
        runner.register_hook(FirstScreenHook())
        termination = TerminationHook()
        runner.register_hook(termination)
        stack.callback(termination.restore)
        try:
            yield runner
        except Exception as error:
            termination.leave_after_failure(runner, error)
            raise


@contextlib.contextmanager
def missing_image_lists() -> Iterator[None]:
    """Let a list of images that is not there be a FileNotFoundError, not a bare assertion.

    MMSegmentation asserts that there is one when it builds a data set, which is when it is first
    used.
    """
    try:
        yield
    except AssertionError as error:
        words, _, path = str(error).partition('`ann_file` ')
        if words != 'Failed to load ':
            raise
        raise FileNotFoundError(
            f'there is no list of images {path}: data_root is to be the folder that ann_file and '
            'data_prefix are below'
        ) from error


@contextlib.contextmanager
def formatting_once() -> Iterator[None]:
    """Let MMEngine lay out a text once inside the block, however often it asks for it.

    It does so with a run's config four times before training and again at every checkpoint.
    """
    lay_out = yapf_api.FormatCode
    known: dict[str, tuple[str, bool]] = {}

    def once(text: str, **style: Any) -> tuple[str, bool]:
        if text not in known:
            known.clear()
            known[text] = lay_out(text, **style)
        return known[text]

    yapf_api.FormatCode = once
    try:
        yield
    finally:
        yapf_api.FormatCode = lay_out


def _launched_rank() -> int:
    """This process's rank, by what launchers tell it before there is a process group."""
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)


def prepare_cpu_ranks(cfg: Config) -> None:
    """Let ``--launcher pytorch`` run on a machine without a GPU, over gloo.

    MMEngine's own start selects a CUDA device; so the process group has to exist before its
    Runner does, and the model wrapper must not be given device numbers. Batch norms stay each
    rank's own: torch synchronises them on GPUs only. A rank that hears nothing of the others for
    ``env_cfg.dist_cfg.timeout`` seconds (torch's 30 minutes by default) fails. On a machine with a
    GPU this does nothing.

    Args:
        cfg: The run's config, changed in place.
    """
    if cfg.get('launcher') != 'pytorch' or torch.cuda.is_available():
        return
    if not dist.is_initialized():
        seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        timeout = None if seconds is None else timedelta(seconds=seconds)
        dist.init_process_group('gloo', timeout=timeout)
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


def fit_loaders(cfg: Config) -> None:
    """Let data loaders start no more processes than there are cores, and pin memory for GPUs only.

    Args:
        cfg: The run's config, changed in place.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    cores = max(1, (cores or 1) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)))
    for loader in loaders_of(cfg):
        loader['num_workers'] = min(loader.get('num_workers', 0), cores)
        if not torch.cuda.is_available():
            loader['pin_memory'] = False


def loaders_of(cfg: Config) -> list[dict]:
    """Configs of all data loaders, those of metrics that learn from images included."""
    evaluators = [cfg.get(f'{name}_evaluator') or [] for name in ('val', 'test')]
    metrics = [m for one in evaluators for m in (one if isinstance(one, list | tuple) else [one])]
    loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
    return [found for found in (*loaders, *(m.get('train_dataloader') for m in metrics)) if found]


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
