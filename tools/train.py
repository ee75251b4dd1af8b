"""Train: pretraining configs of mmcroc, and any MMPretrain or MMSegmentation config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmcroc.command_line import config_file, parse_run, quiet, refusals, require_model
from mmcroc.config_files import read_config

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=config_file, help='train config file, or mmcroc::NAME')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--data-root',
        help='folder of the training images, and of what is scored of the same data set',
    )
    parser.add_argument(
        '--backbone',
        metavar='MODEL',
        help='weights to start CrOC or DINO from, and their architecture: a checkpoint, hf:FOLDER '
        'or timm:NAME; for hsg_vit_frozen_folder.py the frozen backbone, any model',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to resume from; without a path, the latest one in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate meanwhile')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the rate by the actual over the base batch size')  # fmt: skip
    parser.add_argument('--no-pin-memory', action='store_true', help='dataloaders do not pin')
    parser.add_argument(
        '--no-persistent-workers', action='store_true', help='start workers anew each epoch'
    )
    parser.add_argument(
        '--verbose', action='store_true', help='show config, hooks and tracebacks on the screen'
    )
    args = parse_run(parser)
    root = args.data_root
    if root is not None and '://' not in root and not Path(root).is_dir():
        parser.error(f'--data-root (data_root): {root} is not a folder')
    if args.resume not in (None, 'auto') and not Path(args.resume).exists():
        parser.error(f'--resume: no checkpoint at {args.resume}')
    return args


def set_data_root(cfg, root):
    """Give the training data another folder, and with them whatever is read from the same one."""
    old = cfg.train_dataloader.dataset.get('data_root')
    metrics = cfg.get('val_evaluator') or []
    metrics = [metrics] if isinstance(metrics, dict) else metrics
    loaders = [cfg.get('val_dataloader'), *(metric.get('train_dataloader') for metric in metrics)]
    for loader in filter(None, loaders):
        if old is not None and loader.dataset.get('data_root') == old:
            loader.dataset.data_root = root
    cfg.train_dataloader.dataset.data_root = root


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Merge the command line into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.get('default_hooks', {}).pop('view_measures', None)
    cfg.launcher = args.launcher
    default = str(Path('work_dirs') / Path(args.config).stem)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default
    if args.data_root is not None:
        set_data_root(cfg, args.data_root)
    if args.amp:
        if 'amp_dtype' in cfg.optim_wrapper:
            cfg.optim_wrapper.amp_dtype = 'auto'
        else:
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise KeyError(f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size')
        cfg.auto_scale_lr.enable = True
    cfg.merge_from_dict(args.cfg_options)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if not loader:
            continue
        if cfg.get('default_scope') == 'mmpretrain':
            loader.setdefault('collate_fn', dict(type='default_collate'))
        if args.no_pin_memory:
            loader.pin_memory = False
        if args.no_persistent_workers or loader.get('num_workers') == 0:
            loader.persistent_workers = False
    return cfg


def training_began() -> bool:
    """Whether an iteration was done: what fails from there on is no matter of settings."""
    from mmengine.logging import MessageHub

    return bool(MessageHub.get_current_instance().get_info('iter', 0))


def print_summary(runner: Runner) -> None:
    """Say where the run's results are."""
    from mmengine.runner import find_latest_checkpoint

    print(f'\nLogs and config: {runner.log_dir}')
    if checkpoint := find_latest_checkpoint(runner.work_dir):
        model = getattr(runner.model, 'module', runner.model)
        print(f'Last checkpoint: {checkpoint}')
        if not any(parameter.requires_grad for parameter in model.backbone.parameters()):
            return
        prefix = 'teacher.backbone.' if hasattr(model, 'teacher') else 'backbone.'
        print(
            'Use its backbone in an MMPretrain or MMSegmentation config: init_cfg='
            f"dict(type='Pretrained', checkpoint='{checkpoint}', prefix='{prefix}')"
        )


def main() -> None:
    quiet()
    args = parse_args()
    if args.backbone is not None:
        with refusals(f'--backbone {args.backbone}: '):
            require_model(args.backbone)
    # Only now: what --help and wrong arguments need not wait for.
    from mmengine.dist import is_main_process

    from mmcroc.data.image_reading import UnreadableImageError
    from mmcroc.features.pretrained_backbone import UnnamedModelError
    from mmcroc.training.failures import failure_from_outside
    from mmcroc.training.launch import start
    from mmcroc.training.logs import NonFiniteLossError
    from mmcroc.training.starting_weights import start_from
    from mmcroc.weights.weight_fit import UnfitWeightsError

    cfg = merge_args(read_config(args.config), args)
    if args.backbone is not None:
        with refusals(f'--backbone {args.backbone}: '):
            start_from(cfg, args.backbone)
        cfg.merge_from_dict(args.cfg_options)  # last, as always
    try:
        with start(cfg, args.verbose) as runner:
            runner.train()
            if is_main_process():
                print_summary(runner)
    except (
        UnfitWeightsError,
        UnnamedModelError,
        NonFiniteLossError,
        UnreadableImageError,
    ) as error:
        raise SystemExit(str(error)) from error
    except Exception as error:
        if training_began():
            sentence = failure_from_outside(error, cfg.work_dir)
        else:
            refused = isinstance(error, ValueError | TypeError | KeyError | OSError)
            sentence = f'{error} (--verbose shows where)' if refused else None
        if args.verbose or sentence is None:
            raise
        raise SystemExit(sentence) from error


if __name__ == '__main__':
    main()
