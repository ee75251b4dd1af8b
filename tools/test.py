"""Test: evaluation configs of mmcroc, and any MMSegmentation config."""

import argparse
from pathlib import Path

from mmcroc.command_line import config_file, parse_run, quiet, refusals, require_model
from mmcroc.config_files import read_config


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=config_file, help='test config file, or mmcroc::NAME')
    parser.add_argument(
        'checkpoint',
        help='checkpoint; where the model only hands out features or regions, any backbone that '
        'mmcroc.features.load_model knows (of regions, regions:FOLDER too)',
    )
    parser.add_argument('--work-dir', help='where logs and metrics (as JSON) go')
    parser.add_argument(
        '--data-root', help="data_root of the test data set, and of the metric's training images"
    )
    parser.add_argument('--out', help='folder for the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions')
    parser.add_argument('--show-dir', help='folder for painted images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds between shown images')
    parser.add_argument('--tta', action='store_true', help='test time augmentation')
    parser.add_argument(
        '--verbose', action='store_true', help='show config and hooks on the screen'
    )
    return parse_run(parser)


def merge_args(cfg, args):
    """Merge the command line into the config."""
    cfg.launcher = args.launcher
    default = str(Path('work_dirs') / Path(args.config).stem)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default
    only_features = cfg.model.type.endswith('FeatureSegmentor')
    only_regions = cfg.model.type.endswith('HierarchySegmentor')
    if (only_features or only_regions) and (args.out or args.show or args.show_dir or args.tta):
        raise SystemExit('--out, --show, --show-dir and --tta: this model predicts no classes')
    if only_features:
        if not cfg.model.backbone.type.endswith('PretrainedBackbone'):
            cfg.model.backbone = dict(type='mmcroc.PretrainedBackbone')
        cfg.model.backbone.model = args.checkpoint
    elif only_regions:
        cfg.model.model = args.checkpoint
    else:
        cfg.load_from = args.checkpoint
    if args.data_root is not None:
        cfg.test_dataloader.dataset.data_root = args.data_root
        metrics = cfg.test_evaluator
        for metric in [metrics] if isinstance(metrics, dict) else metrics:
            if 'train_dataloader' in metric:
                metric.train_dataloader.dataset.data_root = args.data_root
    if args.show or args.show_dir:
        cfg.default_hooks.visualization = dict(
            type='SegVisualizationHook', draw=True, show=args.show, wait_time=args.wait_time
        )
        if args.show_dir:
            cfg.visualizer.save_dir = args.show_dir
    if args.out:
        cfg.test_evaluator.output_dir = args.out
        cfg.test_evaluator.keep_results = True
    if args.tta:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.tta_model.module = cfg.model
        cfg.model = cfg.tta_model
    cfg.merge_from_dict(args.cfg_options)
    backbone = cfg.model.get('backbone') or {}
    if backbone.get('type', '').endswith('PretrainedBackbone') and backbone.get('model') is None:
        named = cfg.test_evaluator if isinstance(cfg.test_evaluator, dict) else {}
        raise SystemExit(
            f'{args.config} trains a head before it scores: python tools/evaluate.py '
            f'{args.checkpoint} --protocol {named.get("protocol", "PROTOCOL")} --data '
            'DATA --work-dir FOLDER does both (of a checkpoint of that training, name the backbone '
            'it was trained on: --cfg-options model.backbone.model=MODEL)'
        )
    if cfg.test_dataloader.get('num_workers') == 0:
        cfg.test_dataloader.persistent_workers = False
    # Nothing but the test: training and validation data need not be there.
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
                 'val_dataloader', 'val_cfg', 'val_evaluator'):  # fmt: skip
        cfg[name] = None
    return cfg


def require_whole_checkpoint(model):
    """Let a model refuse a checkpoint that does not fill everything that it predicts by."""
    from mmengine.model import BaseTTAModel, is_model_wrapper

    from mmcroc.weights.weight_fit import require_fit

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    require_fit(model, *(name for name, child in model.named_children() if child.state_dict()))


def main():
    quiet()
    args = parse_args()
    with refusals():
        require_model(args.checkpoint)
    # Only now: what --help and wrong arguments need not wait for.
    from mmcroc.data.image_reading import UnreadableImageError
    from mmcroc.training.launch import start
    from mmcroc.weights.weight_fit import UnfitWeightsError

    cfg = merge_args(read_config(args.config), args)
    try:
        with start(cfg, args.verbose) as runner:
            if cfg.get('load_from'):
                require_whole_checkpoint(runner.model)
            runner.test()
    except (UnreadableImageError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    except UnfitWeightsError as error:
        raise SystemExit(
            f'{args.checkpoint} is no checkpoint of the model of {args.config}: '
            f'{error.problem} A backbone is scored by python tools/evaluate.py MODEL '
            '--protocol PROTOCOL --data DATA --work-dir FOLDER'
        ) from error


if __name__ == '__main__':
    main()
