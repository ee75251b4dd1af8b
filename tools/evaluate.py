"""Evaluate a backbone by named protocols: one command, one table.

    python tools/evaluate.py work_dirs/croc/epoch_300.pth --protocol clustering-leopart \\
        --data voc --data-root data/VOCdevkit/VOC2012 --work-dir work_dirs/voc

MODEL is a checkpoint, a timm model (timm:vit_small_patch16_224.dino), a name of MMPretrain's,
'random' or 'rgb'; see mmcroc.features.load_model. nfcovering-hsg also takes regions:FOLDER, the PNG
region maps of a folder. Results go to WORK_DIR/results.json, a picture of the first images'
predicted classes to WORK_DIR/predictions.png.
"""

import argparse
import json
import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmcroc
from mmcroc.config_files import ConfigOptions

CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'eval'
PACKAGES = (
    'torch', 'numpy', 'timm', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain',
    'onedl-mmsegmentation', 'mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation',
)  # fmt: skip


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    pairs = {tuple(path.stem.split('_')) for path in CONFIGS.glob('*_*.py')}
    known, data = (sorted(set(names)) for names in zip(*pairs, strict=True))
    parser.add_argument('model', metavar='MODEL', help='the backbone')
    parser.add_argument('--protocol', nargs='+', required=True, choices=known, metavar='P',
                        help=', '.join(known))  # fmt: skip
    parser.add_argument('--data', required=True, choices=data, metavar='D', help=', '.join(data))
    parser.add_argument('--data-root', help="the data set's folder; default: the config's")
    parser.add_argument('--work-dir', required=True, type=Path, help='where results go')
    parser.add_argument(
        '--baseline',
        nargs='*',
        default=[],
        metavar='MODEL',
        help='models beside it: random (weights), rgb (colour and position), or any other',
    )
    parser.add_argument('--batch-size', type=int, help='images per process')
    parser.add_argument('--image-size', type=int, metavar='PIXELS',
                        help="side of the images that the model sees; default: the "
                        "protocol's")  # fmt: skip
    parser.add_argument('--num-workers', type=int, help='processes that load data')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        help='override settings of the configs, in the form key.subkey=value',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for protocol in args.protocol:
        if (protocol, args.data) not in pairs:
            has = ', '.join(sorted(name for own, name in pairs if own == protocol))
            parser.error(f'{protocol} has no config for {args.data}: --data can be {has}')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def read_config(args, model, protocol):
    """The config of a protocol and a data set, with the model and the command line in it."""
    if args.image_size is not None:  # the protocol's file computes its pipelines from this
        os.environ['MMCROC_IMAGE_SIZE'] = str(args.image_size)
    cfg = mmcroc.read_config(CONFIGS / f'{protocol}_{args.data}.py')
    if args.image_size is not None and 'image_size' not in cfg:
        raise SystemExit(f'--image-size: {protocol} has no image size to choose')
    if cfg.model.type.endswith('HierarchySegmentor'):
        cfg.model.model = model
    else:
        cfg.model.backbone.model = model
    loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
    # Training images of a metric's own.
    loaders += [cfg[name].get('train_dataloader') for name in ('val_evaluator', 'test_evaluator')]
    for loader in filter(None, loaders):
        if args.data_root is not None:
            loader.dataset.data_root = args.data_root
        if args.batch_size is not None and loader.batch_size > 1:  # 1: images differ in size
            loader.batch_size = args.batch_size
        if args.num_workers is not None:
            loader.num_workers = args.num_workers
            loader.persistent_workers = args.num_workers > 0
    if args.batch_size is not None and 'auto_scale_lr' in cfg:
        cfg.auto_scale_lr.enable = True
    cfg.launcher = args.launcher
    cfg.work_dir = str(args.work_dir / protocol / re.sub(r'[^\w.-]+', '_', model))
    cfg.experiment_name = f'{protocol}_{args.data}_{re.sub(r"[^A-Za-z0-9]+", "_", model)}'
    cfg.merge_from_dict(args.cfg_options)
    if not cfg.get('train_dataloader'):  # options meant for another protocol
        cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    return cfg


def evaluate(args, model, protocol):
    """Train what the protocol trains, and test.

    Returns:
        tuple: Everything about it, ready for JSON; examples for the picture; the classes' colours.
    """
    cfg = read_config(args, model, protocol)
    began = time.perf_counter()
    with mmcroc.training.start(cfg) as runner:
        if cfg.get('train_dataloader'):
            runner.train()
            evaluator = runner.val_loop.evaluator
        else:
            runner.test()
            evaluator = runner.test_loop.evaluator
    (metric,) = evaluator.metrics
    report = dict(metric.report)
    report['settings'] = dict(report.get('settings', {}), seed=runner.seed, ranks=runner.world_size)
    backbone = dict(cfg.model.get('backbone', {}), type=None, model=None)
    report['settings']['backbone'] = {k: v for k, v in backbone.items() if v is not None}
    for name in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        if cfg.get(name):
            report['settings'][name] = cfg.to_dict()[name]
    if 'best_score' in runner.message_hub.runtime_info:
        path = runner.message_hub.get_info('best_ckpt')
        best = float(runner.message_hub.get_info('best_score'))
        report['best'] = dict(mIoU=best, epoch=int(re.search(r'(\d+)\.pth$', path)[1]))
    if 'image_size' in cfg:
        report['settings']['image_size'] = cfg.image_size
    report['seconds'] = time.perf_counter() - began
    palette = (evaluator.dataset_meta or {}).get('palette')
    return dict(model=model, data=args.data, **report), getattr(metric, 'examples', None), palette


def versions():
    """Versions of what the numbers depend on."""
    import torch

    found = dict(mmcroc=mmcroc.__version__, python=platform.python_version())
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found['device'] = torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'
    return found


def table(results):
    """Models by protocols: mean IoU in percent, with its spread over seeds.

    Below it, where regions without classes are scored, models by levels.
    """
    with_classes = [result for result in results if 'mIoU_per_seed' in result]
    without = [result for result in results if 'mIoU_per_seed' not in result]
    parts = [(miou_table, with_classes), (level_table, without)]
    return '\n'.join(make(some) for make, some in parts if some)


def level_table(results):
    """Models by levels of regions, in percent; protocol after protocol."""
    from prettytable import PrettyTable

    names = list(dict.fromkeys(name for result in results for name in result['metrics']))
    names.sort(key='best'.__eq__)  # last
    out = PrettyTable([f'on {results[0]["data"]}, %', 'protocol', *names], align='l')
    for result in results:
        values = [result['metrics'].get(name) for name in names]
        cells = ['' if value is None else f'{value:.2f}' for value in values]
        out.add_row([result['model'], result['protocol'], *cells])
    return out.get_string()


def miou_table(results):
    """Models by protocols with classes."""
    from prettytable import PrettyTable

    protocols = list(dict.fromkeys(result['protocol'] for result in results))
    scores = {
        (result['model'], result['protocol']): mmcroc.evaluation.mean_and_spread(
            result['mIoU_per_seed']
        )
        for result in results
    }
    for result in results:
        if 'best' in result:
            best = '; best {mIoU:.2f}, epoch {epoch}'.format(**result['best'])
            scores[result['model'], result['protocol']] += best
    out = PrettyTable([f'mIoU on {results[0]["data"]}', *protocols])
    out.align = 'l'
    for model in dict.fromkeys(result['model'] for result in results):
        out.add_row([model, *(scores.get((model, protocol), '') for protocol in protocols)])
    return out.get_string()


def main():
    args = parse_args()
    # Only now: what --help and wrong arguments need not wait for.
    from mmengine.dist import is_main_process

    for protocol in args.protocol:  # what cannot be is refused before anything is scored
        read_config(args, args.model, protocol)
    results, columns = [], {}
    for model in dict.fromkeys([args.model, *args.baseline]):
        for protocol in args.protocol:
            result, examples, palette = evaluate(args, model, protocol)
            results.append(result)
            if examples is not None:
                columns[f'{model} {protocol}'] = examples
                classes, colours = len(result['classes']), palette
            if is_main_process():
                # After each: a failure later on loses nothing.
                path = args.work_dir / 'results.json'
                path.write_text(json.dumps(dict(versions=versions(), results=results), indent=1))
                if columns:
                    sheet = mmcroc.pictures.prediction_sheet(columns, classes, colours)
                    sheet.save(args.work_dir / 'predictions.png')
    if is_main_process():
        print(f'\n{table(results)}\nResults: {path}')
        if columns:
            print(f'Pictures: {path.parent}/predictions.png')


if __name__ == '__main__':
    main()
