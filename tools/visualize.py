"""Paint what a checkpoint sees in images: one contact sheet and single files.

    python tools/visualize.py data/photos work_dirs/croc/epoch_300.pth --out out
    python tools/visualize.py photo.jpg work_dirs/croc/epoch_300.pth --out out --what clusters \\
        --heads 0 1 2 --views scale=0.5,1 flip_prob=0 --clustering max_clusters=4
    python tools/visualize.py data/photos timm:vit_small_patch16_224.dino --out out

CHECKPOINT is anything that tools/evaluate.py takes. What can be painted of it (--what; by default
all that the checkpoint supports):

    pca        principal components of the tokens as colours, one projection for all images
    clusters   clusters that CrOC's online clustering finds jointly in two views of each image:
               crops on the image, both views, same colour = same cluster (grey: in one view only)
    attention  of [CLS] to the patches in the last block, mean of the heads and each head
    hierarchy  HSG's segments and levels

pca serves every model; clusters and attention need a Vision Transformer of mmcroc (CrOC's teacher,
DINO's, released checkpoints); hierarchy needs HSG. Views and clustering are those of the config in
the checkpoint (or --config); a checkpoint without one gets the released settings.

OUT/KIND mirrors the tree of the images, OUT/sheet.png shows the first images with all kinds.
Images that cannot be done are named and left out; the exit status is then 1.
"""

import sys
import time

import mmcroc
from mmcroc.command_line import add_images, parser_of, positive, quiet, refusals, require_model
from mmcroc.config_files import ConfigOptions
from mmcroc.data.each_image import exit_in_words, for_each_image

SHEET = 'sheet.png'
KINDS = ('pca', 'clusters', 'attention', 'hierarchy')


def parse_args(argv=None):
    parser = parser_of(__doc__)
    add_images(parser)
    parser.add_argument('--what', nargs='+', choices=KINDS, metavar='KIND', help=', '.join(KINDS))
    parser.add_argument('--heads', nargs='+', type=int, default=[0], metavar='H',
                        help='attention heads whose clusters are shown (default: 0)')  # fmt: skip
    parser.add_argument('--views', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='other settings of mmcroc.TwoViews, such as size=224')  # fmt: skip
    parser.add_argument('--clustering', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='other settings of mmcroc.OnlineClustering, such as '
                        'feature=q')  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of views and clusters (default: 0)')
    parser.add_argument('--rows', type=positive, default=24, help='images on the sheet')
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error('--seed must be >= 0')
    return args


def prepare(args):
    """Painters by kind, and the views (None where none are shown)."""
    model = mmcroc.inference.init_model(args.config, args.checkpoint, args.device)
    available = mmcroc.inference.available_kinds(model)
    kinds, views, clustering = args.what or available, None, None
    if 'clusters' in kinds and 'clusters' in available:
        views, clustering = mmcroc.inference.training_views(
            args.config, args.checkpoint, args.views, args.clustering
        )
    painters = mmcroc.inference.build_painters(
        model, kinds, args.longer_side, clustering, args.heads, args.seed
    )
    return painters, views


def paint(args, painters, jobs, example):
    """Write the single files and the sheet; gives its number of rows, and what failed."""
    rows, titles = [], ['image']

    def one(path, name):
        shown = example(path, name)
        pictures = {'image': mmcroc.pictures.photo_of(shown.image)}
        for kind, painter in painters.items():
            painted = painter.paint(shown)
            grid = mmcroc.pictures.picture_grid([list(painted.values())], list(painted))
            mmcroc.pictures.save_png(grid, args.out / kind / name)
            pictures |= painted
        if len(rows) < args.rows:
            rows.append(list(pictures.values()))
            titles[:] = pictures

    _, failed = for_each_image(jobs, one)
    if rows:
        mmcroc.pictures.save_png(mmcroc.pictures.picture_grid(rows, titles), args.out / SHEET)
    return len(rows), failed


def main(argv=None):
    quiet()
    args = parse_args(argv)
    with refusals():
        require_model(args.checkpoint)
        jobs = mmcroc.data.named_images(args.images, args.out)
    with refusals(f'{args.checkpoint}: '):
        painters, views = prepare(args)
    began = time.perf_counter()
    places = {name: place for place, (_, name) in enumerate(jobs)}

    def example(path, name):
        image = mmcroc.data.read_image(path)
        if views:
            return mmcroc.pictures.draw_views(image, views, args.seed, places[name])
        return mmcroc.pictures.Example(image)

    unread = {}
    with exit_in_words('start again'):
        if fitted := painters.get('pca'):
            _, unread = for_each_image(jobs, lambda *job: fitted.update(example(*job)))
            with refusals('no PCA: '):
                fitted.fit()
        readable = [job for job in jobs if job not in unread]
        rows, unpainted = paint(args, painters, readable, example)
    failed = len(unread) + len(unpainted)
    where = f': {args.out / SHEET} ({rows} of them; single files beside it: {", ".join(painters)})'
    print(
        f'{len(jobs) - failed} images painted, {failed} failed in '
        f'{time.perf_counter() - began:.0f} s{where if rows else ""}'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
