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
from pathlib import Path

import numpy as np
from tqdm import tqdm

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
    if args.num_clusters is not None and args.num_clusters < 1:
        parser.error('--num-clusters must be >= 1')
    return args


def load(args):
    """The model; exits where there is none, or where it does not take the options."""
    import torch

    from mmcroc.inference.segmentation import init_model, level_names

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        model = init_model(args.config, args.checkpoint, device)
    except (FileNotFoundError, ValueError, KeyError) as error:
        sys.exit(f'{args.checkpoint} cannot be used: {error}')
    is_hsg = level_names(model)[0] == 'segments'
    if is_hsg and args.num_clusters:
        sys.exit('--num-clusters: the groups of HSG are those it was trained with')
    if args.oversegmentation and not is_hsg:
        sys.exit(f'--oversegmentation is for HSG, and {args.checkpoint} holds another model')
    if is_hsg and model.head.grid == (1, 1) and not args.oversegmentation:
        sys.exit('the segments of this HSG are regions (head.grid=(1, 1)): give --oversegmentation')
    return model


def segment(args, model, path, name):
    """Make the maps and the sheet of an image, the sheet last."""
    from mmcroc.data.image_reading import read_image
    from mmcroc.inference.segmentation import segment_image
    from mmcroc.pictures.label_map_files import compact_labels, save_whole, write_label_map
    from mmcroc.pictures.overlay import overlay_sheet

    image = read_image(path)
    regions = args.oversegmentation and args.oversegmentation / name
    maps = segment_image(model, image, regions, args.longer_side, args.num_clusters)
    for level, labels in maps.items():
        target = args.out / level / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_label_map(target, compact_labels(labels))
    target = args.out / SHEETS / name
    target.parent.mkdir(parents=True, exist_ok=True)
    titled = {f'{level} ({len(np.unique(labels))})': labels for level, labels in maps.items()}
    save_whole(overlay_sheet([(image, titled)], side=320), target)


def main(argv=None):
    args = parse_args(argv)
    import torch

    from mmcroc.data.named_images import named_images
    from mmcroc.inference.segmentation import level_names

    try:
        jobs = named_images(args.images, args.out)
    except ValueError as error:
        sys.exit(str(error))
    model = load(args)
    folders = [*level_names(model), SHEETS]
    todo = [job for job in jobs if not all((args.out / f / job[1]).exists() for f in folders)]
    start = time.perf_counter()
    failed = 0
    with tqdm(total=len(todo), unit='image', file=sys.stderr, dynamic_ncols=True) as bar:
        for path, name in todo:
            try:
                segment(args, model, path, name)
            except torch.cuda.OutOfMemoryError:
                sys.exit(f'{path}: out of memory; lower --longer-side. What is done is kept')
            except KeyboardInterrupt:
                sys.exit('interrupted; start again to go on, what is done is kept')
            except Exception as error:  # one bad image must not end the work on the others
                failed += 1
                message = str(error) if str(path) in str(error) else f'{path}: {error}'
                bar.write(f'failed: {message} ({type(error).__name__})', file=sys.stderr)
            bar.update()
    print(
        f'{len(todo) - failed} images segmented, {len(jobs) - len(todo)} already there, {failed} '
        f'failed in {time.perf_counter() - start:.0f} s: {args.out} ({", ".join(folders)})'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
