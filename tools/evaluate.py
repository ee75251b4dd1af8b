"""Evaluate frozen backbones by named protocols: one command, one table.

    python tools/evaluate.py work_dirs/croc/epoch_300.pth --protocol clustering-leopart \\
        --data voc --data-root data/VOCdevkit/VOC2012 --work-dir work_dirs/voc
    python tools/evaluate.py timm:vit_small_patch16_224.dino --protocol all \\
        --images photos --masks masks --work-dir work_dirs/mine

MODEL is a checkpoint, a timm model (timm:vit_small_patch16_224.dino), a Hugging Face model
(hf:facebook/dinov2-small, hf:FOLDER; extra export), a name of MMPretrain's, 'random' or 'rgb'; see
mmcroc.features.load_model. nfcovering-hsg also takes regions:FOLDER, the PNG region maps of a
folder. --cfg-options num_restarts=2 changes settings of the protocols that have them; a changed
protocol has a changed name in the table. Results go to WORK_DIR/results.json, a picture of the
first images' predicted classes to WORK_DIR/predictions.png. In Python: mmcroc.evaluate.
"""

import argparse
import sys
from pathlib import Path

from mmcroc.command_line import parse_run, quiet, require_model
from mmcroc.distributions import import_quietly
from mmcroc.evaluation.data_sets import DataSet, OwnImages, data_names
from mmcroc.evaluation.protocols import protocol, protocol_names
from mmcroc.sole_writer import sole_writer


def listed(names):
    """Names with a line on each, for --help."""
    return '\n'.join(f'  {name:24}{line}' for name, line in names.items())


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f'protocols:\n{listed(protocol_names())}\n\ndata sets:\n{listed(data_names())}',
    )
    parser.add_argument('model', metavar='MODEL', help='the backbone')
    parser.add_argument(
        '--baseline', nargs='*', default=[], metavar='MODEL',
        help='models beside it: random (weights), rgb (colour and position), or any other',
    )  # fmt: skip
    parser.add_argument(
        '--protocol', nargs='+', required=True, metavar='P',
        help='protocols; all: every one that the data have labels for, but linear-leopart and '
        'linear-mmseg, which train a head for hours',
    )  # fmt: skip
    parser.add_argument('--work-dir', required=True, type=Path, help='where results go')
    data = parser.add_argument_group('data')
    data.add_argument('--data', metavar='D', help='a data set below, or a config file like theirs')
    data.add_argument('--data-root', help="the data set's folder; default: its config's")
    data.add_argument('--images', metavar='DIR', help='your own images, in place of --data')
    data.add_argument('--masks', metavar='DIR', help='masks by their names: numbers of classes')
    data.add_argument('--classes', metavar='FILE', help='names, one a line; default: values met')
    data.add_argument('--val-fraction', type=float, default=0.2, help='share that is scored')
    data.add_argument('--train-images', type=int, metavar='N', help='learn from the first N only')
    data.add_argument('--val-images', type=int, metavar='N', help='score the first N only')
    more = parser.add_argument_group('settings')
    more.add_argument('--batch-size', type=int, help='images per process')
    more.add_argument('--image-size', type=int, metavar='PIXELS', help='side of the images')
    more.add_argument('--num-workers', type=int, help='processes that load data; default: by cores')
    more.add_argument('--overwrite', action='store_true', help='compute known results again')
    args = parse_run(parser)
    own = args.images is not None
    if own == (args.data is not None) or own != (args.masks is not None):
        parser.error('give --data, or --images with --masks')
    if own and args.data_root is not None:
        parser.error('--data-root goes with --data')
    try:  # what needs no heavy package
        for name in (args.model, *args.baseline):
            require_model(name)
        all_of_them = args.protocol == ['all']
        args.protocol = 'all' if all_of_them else [protocol(name) for name in args.protocol]
        if own:
            args.data = OwnImages(args.images, args.masks, args.classes, args.val_fraction)
        else:
            args.data = DataSet.named(args.data, args.data_root)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return args


def main():
    quiet()
    args = parse_args()
    # Only now: what --help and wrong arguments need not wait for.
    import_quietly('mmpretrain.datasets', 'mmseg.datasets')
    from mmengine.dist import is_main_process

    from mmcroc.data.image_reading import UnreadableImageError
    from mmcroc.evaluation.matrix import evaluate

    size = {} if args.image_size is None else dict(image_size=args.image_size)
    try:
        report = evaluate(
            [args.model, *args.baseline],
            args.protocol,
            args.data,
            work_dir=args.work_dir,
            batch_size=args.batch_size,
            train_images=args.train_images,
            val_images=args.val_images,
            num_workers=args.num_workers,
            overwrite=args.overwrite,
            launcher=args.launcher,
            **{**args.cfg_options, **size},
        )
    except (ValueError, OSError, ImportError, UnreadableImageError) as error:
        sys.exit(str(error))
    if is_main_process():
        print(f'\n{report.table()}\nResults: {args.work_dir}/results.json')
        with sole_writer(args.work_dir, wait=True):
            drawn = report.pictures(args.work_dir / 'predictions.png')
        if drawn:
            print(f'Pictures: {args.work_dir}/predictions.png')
    if report.failures:
        sys.exit(1)


if __name__ == '__main__':
    main()
