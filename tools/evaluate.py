"""Evaluate frozen backbones by named protocols: one command, one table.

    python tools/evaluate.py work_dirs/croc/epoch_300.pth --protocol clustering-leopart \\
        --data voc --data-root data/VOCdevkit/VOC2012 --work-dir work_dirs/voc
    python tools/evaluate.py timm:vit_small_patch16_224.dino --protocol all \\
        --images photos --masks masks --work-dir work_dirs/mine

MODEL is a checkpoint, a timm model (timm:vit_small_patch16_224.dino), a Hugging Face model
(hf:facebook/dinov2-small, hf:FOLDER), a name of MMPretrain's, 'random' or 'rgb'; see
mmcroc.features.load_model. nfcovering-hsg also takes regions:FOLDER, the PNG region maps of a
folder. Results go to WORK_DIR/results.json, a picture of the first images' predicted classes to
WORK_DIR/predictions.png. What results.json holds already is not computed again. In Python:
mmcroc.evaluate.
"""

import argparse
import os
import sys
from pathlib import Path

from mmcroc.config_files import ConfigOptions
from mmcroc.evaluation.data_sets import DataSet, OwnImages, data_names
from mmcroc.evaluation.protocols import protocol, protocol_names


def listed(names):
    """Names with a line on each, for --help."""
    return '\n'.join(f'  {name:24}{line}' for name, line in names.items())


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f'protocols:\n{listed(protocol_names())}\n\ndata sets:\n{listed(data_names())}',
    )
    add = parser.add_argument
    add('model', metavar='MODEL', help='the backbone')
    add('--baseline', nargs='*', default=[], metavar='MODEL',
        help='models beside it: random (weights), rgb (colour, position), any other')  # fmt: skip
    add('--protocol', nargs='+', required=True, metavar='P',
        help='protocols; all: every one that the data have labels for, but linear-leopart and '
        'linear-mmseg, which train a head for hours')  # fmt: skip
    add('--work-dir', required=True, type=Path, help='where results go')
    data = parser.add_argument_group('data')
    add = data.add_argument
    add('--data', metavar='D', help='a data set below, or a config file like theirs')
    add('--data-root', help="the data set's folder; default: its config's")
    add('--images', metavar='DIR', help='a folder of your own images, in place of --data')
    add('--masks', metavar='DIR', help="masks by the images' names: numbers of classes, 255: none")
    add('--classes', metavar='FILE', help='their names, one a line; default: the values met')
    add('--val-fraction', type=float, default=0.2, help='share of the images that is scored')
    add('--train-images', type=int, metavar='N', help='train on the first N images only')
    add('--val-images', type=int, metavar='N', help='score the first N images only')
    add = parser.add_argument_group('settings').add_argument
    add('--batch-size', type=int, help='images per process')
    add('--image-size', type=int, metavar='PIXELS',
        help="side of the images that the model sees; default: the protocol's")  # fmt: skip
    add('--cfg-options', nargs='+', action=ConfigOptions, default={},
        help='other settings of the protocols that have them: num_restarts=2, key.subkey=value; '
        'whatever changes a protocol changes its name in the table')  # fmt: skip
    add('--num-workers', type=int, help="processes that load data; default: by the machine's cores")
    add('--overwrite', action='store_true', help='compute again what results.json holds')
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if (args.data is None) == (args.images is None) or (args.images is None) != (
        args.masks is None
    ):
        parser.error('give --data, or --images with --masks')
    if args.images is not None and args.data_root is not None:
        parser.error('--data-root goes with --data')
    try:  # what needs no heavy package
        if args.protocol != ['all']:
            args.protocol = [protocol(name) for name in args.protocol]
        if args.images is not None:
            args.data = OwnImages(args.images, args.masks, args.classes, args.val_fraction)
        else:
            args.data = DataSet.named(args.data, args.data_root)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main():
    args = parse_args()
    # Only now: what --help and wrong arguments need not wait for.
    from mmengine.dist import is_main_process

    from mmcroc.evaluation.matrix import evaluate

    settings = dict(args.cfg_options)
    if args.image_size is not None:
        settings['image_size'] = args.image_size
    try:
        report = evaluate(
            [args.model, *args.baseline],
            args.protocol if args.protocol != ['all'] else 'all',
            args.data,
            work_dir=args.work_dir,
            batch_size=args.batch_size,
            train_images=args.train_images,
            val_images=args.val_images,
            num_workers=args.num_workers,
            overwrite=args.overwrite,
            launcher=args.launcher,
            **settings,
        )
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    if is_main_process():
        print(f'\n{report.table()}\nResults: {args.work_dir}/results.json')
        if report.pictures(args.work_dir / 'predictions.png'):
            print(f'Pictures: {args.work_dir}/predictions.png')
    if report.failures:
        sys.exit(1)


if __name__ == '__main__':
    main()
