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

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

import mmcroc
from mmcroc.data.each_image import exit_in_words, for_each_image

SHEETS = 'sheets'


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER', type=Path)
    parser.add_argument('checkpoint', metavar='CHECKPOINT')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--config', help='default: the one in the checkpoint')
    parser.add_argument('--oversegmentation', type=Path, metavar='FOLDER',
                        help='of HSG: cut segments along these region maps, PNG by the names of '
                        'the images (tools/prepare_oversegmentation.py makes them)')  # fmt: skip
    parser.add_argument('--num-clusters', type=int, metavar='K',
                        help='of models other than HSG (default: 8)')  # fmt: skip
    parser.add_argument('--longer-side', type=int, default=512,
                        help='images are resized to this for the model (default: 512)')  # fmt: skip
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    args = parser.parse_args(argv)
    if not args.images.exists():
        parser.error(f'{args.images}: no such image or folder')
    if args.oversegmentation and not args.oversegmentation.is_dir():
        parser.error(f'--oversegmentation: {args.oversegmentation} is not a folder')
    return args


def load(args):
    """The model; exits where there is none, or where it does not take the options."""
    try:
        model = mmcroc.inference.init_model(args.config, args.checkpoint, args.device)
        mmcroc.inference.check_options(model, args.oversegmentation, args.num_clusters)
    except (FileNotFoundError, ValueError, KeyError) as error:
        sys.exit(f'{args.checkpoint} cannot be used so: {error}')
    return model


def segment(args, model, path, name):
    """Make the maps and the sheet of an image, the sheet last."""
    image = mmcroc.data.read_image(path)
    regions = args.oversegmentation and args.oversegmentation / name
    maps = mmcroc.inference.segment_image(
        model, image, regions, args.longer_side, args.num_clusters
    )
    for level, labels in maps.items():
        target = args.out / level / name
        target.parent.mkdir(parents=True, exist_ok=True)
        mmcroc.pictures.write_label_map(target, mmcroc.pictures.compact_labels(labels))
    target = args.out / SHEETS / name
    target.parent.mkdir(parents=True, exist_ok=True)
    titled = {f'{level} ({len(np.unique(labels))})': labels for level, labels in maps.items()}
    mmcroc.pictures.save_png(mmcroc.pictures.overlay_sheet([(image, titled)], side=320), target)


def main(argv=None):
    args = parse_args(argv)
    try:
        jobs = mmcroc.data.named_images(args.images, args.out)
    except ValueError as error:
        sys.exit(str(error))
    model = load(args)
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
