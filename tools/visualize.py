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

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from mmcroc.config_files import ConfigOptions

SHEET = 'sheet.png'
KINDS = ('pca', 'clusters', 'attention', 'hierarchy')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER', type=Path)
    parser.add_argument('checkpoint', metavar='CHECKPOINT')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--what', nargs='+', choices=KINDS, metavar='KIND', help=', '.join(KINDS))
    parser.add_argument('--config', help='default: the one in the checkpoint')
    parser.add_argument('--heads', nargs='+', type=int, default=[0], metavar='H',
                        help='attention heads whose clusters are shown (default: 0)')  # fmt: skip
    parser.add_argument('--views', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='other settings of mmcroc.TwoViews, such as size=224')  # fmt: skip
    parser.add_argument('--clustering', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='other settings of mmcroc.OnlineClustering, such as '
                        'feature=q')  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of views and clusters (default: 0)')
    parser.add_argument('--longer-side', type=int, default=512,
                        help='images are resized to this for all but clusters '
                        '(default: 512)')  # fmt: skip
    parser.add_argument('--rows', type=int, default=24, help='images on the sheet (default: 24)')
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    args = parser.parse_args(argv)
    if not args.images.exists():
        parser.error(f'{args.images}: no such image or folder')
    if args.rows < 1 or args.seed < 0:
        parser.error('--rows must be >= 1, --seed >= 0')
    return args


def prepare(args):
    """Painters by kind, and the views (None where none are shown)."""
    import torch

    from mmcroc.inference.pictures import available_kinds, build_painters, training_views
    from mmcroc.inference.segmentation import init_model

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    model = init_model(args.config, args.checkpoint, device)
    kinds, views, clustering = args.what or available_kinds(model), None, None
    if 'clusters' in kinds and 'clusters' in available_kinds(model):
        views, clustering = training_views(
            args.config, args.checkpoint, args.views, args.clustering
        )
    painters = build_painters(model, kinds, args.longer_side, clustering, args.heads, args.seed)
    return painters, views


class Work:
    """Pass over the images with a progress bar; those that fail are named and left out."""

    def __init__(self, jobs, views, seed, passes):
        self.jobs, self.views, self.seed = jobs, views, seed
        self.failed = set()
        total = passes * len(jobs)
        self.bar = tqdm(total=total, unit='image', file=sys.stderr, dynamic_ncols=True)

    def each(self, do):
        """Call ``do(example, name)`` for every image that has not failed yet."""
        import torch

        for place, (path, name) in enumerate(self.jobs):
            if name not in self.failed:
                try:
                    do(self._example(path, place), name)
                except torch.cuda.OutOfMemoryError:
                    sys.exit(f'{path}: out of memory; lower --longer-side')
                except KeyboardInterrupt:
                    sys.exit('interrupted; start again')
                except Exception as error:  # one bad image must not end the work on the others
                    self.failed.add(name)
                    message = str(error) if str(path) in str(error) else f'{path}: {error}'
                    self.bar.write(f'failed: {message} ({type(error).__name__})', file=sys.stderr)
            self.bar.update()

    def _example(self, path, place):
        from mmcroc.data.image_reading import read_image
        from mmcroc.pictures.painters import Example, draw_views

        image = read_image(path)
        return draw_views(image, self.views, self.seed, place) if self.views else Example(image)


def paint(args, painters, work):
    """Write the single files and the sheet; gives its number of rows."""
    from mmcroc.pictures.label_map_files import save_whole
    from mmcroc.pictures.painters import photo_of
    from mmcroc.pictures.picture_grid import picture_grid

    rows, titles = [], ['image']

    def one(example, name):
        pictures = {'image': photo_of(example.image)}
        for kind, painter in painters.items():
            painted = painter.paint(example)
            target = args.out / kind / name
            target.parent.mkdir(parents=True, exist_ok=True)
            save_whole(picture_grid([list(painted.values())], list(painted)), target)
            pictures |= painted
        if len(rows) < args.rows:
            rows.append(list(pictures.values()))
            titles[:] = pictures

    work.each(one)
    if rows:
        save_whole(picture_grid(rows, titles), args.out / SHEET)
    return len(rows)


def main(argv=None):
    args = parse_args(argv)
    from mmcroc.data.named_images import named_images

    try:
        jobs = named_images(args.images, args.out)
    except ValueError as error:
        sys.exit(str(error))
    try:
        painters, views = prepare(args)
    except (FileNotFoundError, ValueError, KeyError) as error:
        sys.exit(f'{args.checkpoint}: {error}')
    began = time.perf_counter()
    fitted = painters.get('pca')
    work = Work(jobs, views, args.seed, passes=2 if fitted else 1)
    with work.bar:
        if fitted:
            work.each(lambda example, name: fitted.update(example))
            try:
                fitted.fit()
            except ValueError as error:
                sys.exit(f'no PCA: {error}')
        rows = paint(args, painters, work)
    done = len(jobs) - len(work.failed)
    where = f'{args.out / SHEET} ({rows} of them; single files beside it: {", ".join(painters)})'
    print(
        f'{done} images painted, {len(work.failed)} failed in {time.perf_counter() - began:.0f} s'
        + (f': {where}' if rows else '')
    )
    sys.exit(1 if work.failed else 0)


if __name__ == '__main__':
    main()
