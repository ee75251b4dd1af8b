"""Segment images without labels: HSG's segments and groups, or any model's clusters.

    python tools/segment.py photo.jpg work_dirs/hsg_r50_coco_stage2/iter_20000.pth --out out
    python tools/segment.py data/photos timm:vit_small_patch16_224.dino --out out --num-clusters 12

CHECKPOINT is of HSG, or anything that tools/evaluate.py takes: CrOC's, MMPretrain's, timm's, ...
Of HSG come segments and one map per level, of all others k-means clusters of the image's tokens.

OUT/sheets shows each image with its levels side by side; OUT/segments, OUT/level_1, ... (or
OUT/clusters) mirror the tree of the images with PNG maps of the image's size as viewers show it
(EXIF orientation applied): palette PNG of 8 bits, or grey of 16 beyond 255 labels; labels from 0
without gaps, numbered within the image; 255 (65535) where the over-segmentation has none.
Images that are done are left alone, so an interrupted run is simply started again (give OUT
another name to change settings). Images that cannot be done are named and left out; the exit
status is then 1.
"""

import sys
import time
from functools import partial

import numpy as np

import mmcroc
from mmcroc.command_line import add_images, folder, parser_of, refusals
from mmcroc.data.each_image import exit_in_words, for_each_image

SHEETS = 'sheets'


def parse_args(argv=None):
    parser = parser_of(__doc__)
    add_images(parser)
    parser.add_argument('--oversegmentation', type=folder, metavar='FOLDER',
                        help='of HSG: cut segments along these region maps, PNG by the names of '
                        'the images (tools/prepare_oversegmentation.py makes them)')  # fmt: skip
    parser.add_argument('--num-clusters', type=int, metavar='K',
                        help='of models other than HSG (default: 8)')  # fmt: skip
    return parser.parse_args(argv)


def segment(args, model, path, name):
    """Make the maps and the sheet of an image, the sheet last."""
    image = mmcroc.data.read_image(path)
    regions = args.oversegmentation and args.oversegmentation / name
    maps = mmcroc.inference.segment_image(
        model, image, regions, args.longer_side, args.num_clusters
    )
    for level, labels in maps.items():
        labels = mmcroc.pictures.compact_labels(labels)
        mmcroc.pictures.write_label_map(args.out / level / name, labels)
    titled = {f'{level} ({len(np.unique(labels))})': labels for level, labels in maps.items()}
    sheet = mmcroc.pictures.overlay_sheet([(image, titled)], side=320)
    mmcroc.pictures.save_png(sheet, args.out / SHEETS / name)


def main(argv=None):
    args = parse_args(argv)
    with refusals():
        jobs = mmcroc.data.named_images(args.images, args.out)
    with refusals(f'{args.checkpoint} cannot be used so: '):
        model = mmcroc.inference.init_model(args.config, args.checkpoint, args.device)
        mmcroc.inference.check_options(model, args.oversegmentation, args.num_clusters)
    folders = [*mmcroc.inference.level_names(model), SHEETS]
    todo = [job for job in jobs if not all((args.out / f / job[1]).exists() for f in folders)]
    start = time.perf_counter()
    with exit_in_words('start again to go on, what is done is kept'):
        done, failed = for_each_image(todo, partial(segment, args, model))
    print(
        f'{len(done)} images segmented, {len(jobs) - len(todo)} already there, {len(failed)} '
        f'failed in {time.perf_counter() - start:.0f} s: {args.out} ({", ".join(folders)})'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
