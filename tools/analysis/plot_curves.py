"""Plot losses and probes of one or several runs.

    python tools/analysis/plot_curves.py work_dirs/croc_vit-t_scenes --out curves.png
    python tools/analysis/plot_curves.py work_dirs/croc work_dirs/dino --x epoch \\
        --keys loss_image clustering-probe/mIoU --out curves.pdf

RUN is a work dir (all its starts, joined; a resumed run takes over from where it resumed), one
start's folder in it, or a scalars.json. Losses are in the upper rows of panels, probes below;
without --keys: all losses, and every probe's mean IoU.
"""

import argparse
import io
import sys
from pathlib import Path

from mmcroc.atomic_file import atomic_file

FORMATS = ('.png', '.pdf', '.svg')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', metavar='RUN', nargs='+')
    parser.add_argument('--out', type=Path, required=True, help=f'a file: {" ".join(FORMATS)}')
    parser.add_argument('--keys', nargs='+', metavar='KEY', help='what to plot, a panel each')
    parser.add_argument('--x', choices=['iter', 'epoch'], default='iter')
    args = parser.parse_args(argv)
    if args.out.suffix.lower() not in FORMATS:
        parser.error(f'--out {args.out}: must end in one of {" ".join(FORMATS)}')
    return args


def main(argv=None):
    args = parse_args(argv)
    from mmcroc.pictures.curves import plot_curves, read_run

    try:
        runs = [read_run(path) for path in args.runs]
        figure = plot_curves(runs, args.keys, args.x)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    picture = io.BytesIO()
    figure.savefig(picture, format=args.out.suffix[1:].lower(), dpi=150)
    with atomic_file(args.out) as file:
        file.write(picture.getvalue())
    panels = sum(axis.get_visible() for axis in figure.axes)
    print(f'{panels} panels of {len(runs)} runs: {args.out}')


if __name__ == '__main__':
    main()
