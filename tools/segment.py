"""Segment images without labels: HSG's segments and groups, or any model's clusters.

    python tools/segment.py photo.jpg work_dirs/hsg_r50_coco_stage2/iter_20000.pth --out out
    python tools/segment.py data/photos timm:vit_small_patch16_224.dino --out out --num-clusters 12

CHECKPOINT is of HSG, or anything that tools/evaluate.py takes: CrOC's, MMPretrain's, timm's, ...
Of HSG come segments and one map per level, of all others k-means clusters of the image's tokens.

OUT/sheets shows each image with its levels side by side; OUT/segments, OUT/level_1, ... (or
OUT/clusters) mirror the tree of the images with PNG maps of the image's size as viewers show it
(EXIF orientation applied): palette PNG of 8 bits, or grey of 16 beyond 255 labels; labels from 0
without gaps, numbered within the image; 255 (65535) where the over-segmentation has none.
--shared finds the clusters in all images together (OUT/centroids.npy): then a number, and its
colour, means the same in each, and maps may have gaps.
Images that are done are left alone, so an interrupted run is simply started again (give OUT
another name to change settings). Images that cannot be done are named and left out; the exit
status is then 1.
"""

import sys
import time
from functools import partial

import numpy as np

import mmcroc
from mmcroc.atomic_file import atomic_file
from mmcroc.command_line import add_images, folder, parser_of, quiet, refusals, require_model
from mmcroc.data.each_image import exit_in_words, for_each_image
from mmcroc.foreign_files import open_regular
from mmcroc.sole_writer import sole_writer

SHEETS = 'sheets'


def parse_args(argv=None):
    parser = parser_of(__doc__)
    add_images(parser)
    parser.add_argument('--oversegmentation', type=folder, metavar='FOLDER',
                        help='of HSG: cut segments along these region maps, PNG by the names of '
                        'the images (tools/prepare_oversegmentation.py makes them)')  # fmt: skip
    parser.add_argument('--num-clusters', type=int, metavar='K',
                        help='of models other than HSG (default: 8)')  # fmt: skip
    parser.add_argument('--shared', action='store_true',
                        help='one set of clusters for all images: colours correspond')  # fmt: skip
    return parser.parse_args(argv)


def shared(args, model, paths):
    """The clusters that all images share, as an earlier start kept them or found now."""
    import torch

    kept = args.out / 'centroids.npy'
    if kept.exists():
        try:
            with open_regular(kept) as file:
                centroids = torch.from_numpy(np.load(file, allow_pickle=False))
            if centroids.dim() != 2 or centroids.dtype != torch.float32:
                raise ValueError(f'{centroids.dtype} of {tuple(centroids.shape)}')
        except Exception as error:  # NumPy raises many types
            raise ValueError(f'{kept} holds no clusters ({error}): delete it') from error
        if args.num_clusters not in (None, len(centroids)):
            raise ValueError(f'{kept} holds {len(centroids)} clusters: give OUT another name')
        return centroids
    centroids = mmcroc.inference.shared_centroids(model, paths, args.num_clusters, args.longer_side)
    with atomic_file(kept) as file:
        np.save(file, centroids.numpy())
    return centroids


def segment(args, model, centroids, path, name):
    """Make the maps and the sheet of an image, the sheet last."""
    image = mmcroc.data.read_image(path)
    regions = args.oversegmentation and args.oversegmentation / name
    maps = mmcroc.inference.segment_image(
        model, image, regions, args.longer_side, args.num_clusters, centroids, smooth=True
    )
    for level, labels in maps.items():
        if centroids is None:
            labels = mmcroc.pictures.compact_labels(labels)
        mmcroc.pictures.write_label_map(args.out / level / name, labels)
    titled = {f'{level} ({len(np.unique(labels))})': labels for level, labels in maps.items()}
    sheet = mmcroc.pictures.overlay_sheet([(image, titled)], side=320)
    mmcroc.pictures.save_png(sheet, args.out / SHEETS / name)


def main(argv=None):
    quiet()
    args = parse_args(argv)
    with refusals():
        require_model(args.checkpoint)
        jobs = mmcroc.data.named_images(args.images, args.out)
    with refusals(f'{args.checkpoint} cannot be used so: '):
        model = mmcroc.inference.init_model(args.config, args.checkpoint, args.device)
        mmcroc.inference.check_options(model, args.oversegmentation, args.num_clusters)
        centroids = shared(args, model, [path for path, _ in jobs]) if args.shared else None
    folders = [*mmcroc.inference.level_names(model), SHEETS]
    todo = [job for job in jobs if not all((args.out / f / job[1]).exists() for f in folders)]
    start = time.perf_counter()
    below = {(args.out / folder / name).parent for folder in folders for _, name in todo}
    with (
        refusals(),
        sole_writer(args.out, below),
        exit_in_words('start again to go on, what is done is kept'),
    ):
        done, failed = for_each_image(todo, partial(segment, args, model, centroids))
    print(
        f'{len(done)} images segmented, {len(jobs) - len(todo)} already there, {len(failed)} '
        f'failed in {time.perf_counter() - start:.0f} s: {args.out} ({", ".join(folders)})'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
