"""Convert KITTI-STEP to MMSegmentation's layout.

Reads, below the root, images as KITTI's tracking benchmark has them, or sorted by split,

    training/image_02/SEQ/%06d.png      or      images/{train,val}/SEQ/%06d.png

and KITTI-STEP's panoptic maps (R = class, G * 256 + B = instance)

    panoptic_maps/{train,val}/SEQ/%06d.png

and writes, for ``KITTISTEPDataset``,

    img_dir/{train,val}/SEQ/%06d.png    (links, or copies with --images copy)
    ann_dir/{train,val}/SEQ/%06d.png    (0-18 Cityscapes train ids, 255 void)

    python tools/dataset_converters/kitti_step.py data/kitti_step --nproc 8
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import conversion
import numpy as np
from PIL import Image

from mmcroc.atomic_file import atomic_file
from mmcroc.command_line import parser_of
from mmcroc.data.image_reading import load_picture, open_picture
from mmcroc.data.label_names import NUM_FRAMES, SEQUENCES
from mmcroc.pictures.label_maps import save_png

NUM_CLASSES, VOID = 19, 255


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument('root', type=Path, help='folder of the download')
    parser.add_argument('-o', '--out-dir', type=Path, help='default: the root')
    parser.add_argument(
        '--images', default='link', choices=('link', 'copy', 'none'), help='default: %(default)s'
    )
    conversion.add_arguments(parser)
    return parser.parse_args(argv)


def find_image(root: Path, split: str, sequence: str, name: str) -> Path:
    """Find the image of a label file; FileNotFoundError names all places looked at."""
    places = [root / path / sequence / name for path in ('training/image_02', f'images/{split}')]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f'no image at {" or ".join(map(str, places))}')


def semantic_labels(path: Path) -> np.ndarray:
    """Read the classes of a panoptic map: (H, W) uint8. ValueError for what is no panoptic map."""
    with load_picture(path) as panoptic:
        if panoptic.mode != 'RGB':
            raise ValueError(f'{path} is of mode {panoptic.mode}, a panoptic map is RGB')
        labels = np.ascontiguousarray(np.asarray(panoptic)[..., 0])
    strange = np.setdiff1d(labels, [*range(NUM_CLASSES), VOID])
    if len(strange):
        raise ValueError(f'{path} has classes {strange.tolist()}; expected 0-18 and 255')
    return labels


def convert(target: Path, source: Path, image_target: Path, root: Path, images: str) -> None:
    """Write the labels and place the image of one frame. The labels last: they mark it done."""
    labels = semantic_labels(source)
    if images != 'none':
        image = find_image(root, source.parts[-3], source.parent.name, source.name)
        with open_picture(image) as opened:
            if opened.size != labels.shape[::-1]:
                raise ValueError(f'{image} is {opened.size}, its labels are {labels.shape[::-1]}')
        image_target.parent.mkdir(parents=True, exist_ok=True)
        if images == 'copy':
            with image.open('rb') as source_file, atomic_file(image_target) as file:
                shutil.copyfileobj(source_file, file)
        else:
            # Relative to where the folder really is, so that data may move as a whole.
            there = os.path.relpath(image.resolve(), image_target.parent.resolve())
            image_target.unlink(missing_ok=True)
            image_target.symlink_to(there)
    save_png(Image.fromarray(labels), target)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out_dir = args.out_dir or args.root
    jobs, found = [], Counter()
    for split, sequences in SEQUENCES.items():
        folder = args.root / 'panoptic_maps' / split
        for sequence in sorted(path.name for path in folder.glob('*') if path.is_dir()):
            if sequence not in sequences:
                sys.exit(f'{folder / sequence}: {sequence} is no {split} sequence of KITTI-STEP')
            for source in sorted((folder / sequence).glob('*.png')):
                frame = Path(split, sequence, source.name)
                target, image = out_dir / 'ann_dir' / frame, out_dir / 'img_dir' / frame
                jobs.append((target, source, image, args.root, args.images))
                found[split] += 1
    if not jobs:
        sys.exit(f'no panoptic_maps/{{train,val}}/SEQ/*.png below {args.root}')
    status = conversion.run(convert, jobs, args.nproc, args.overwrite)
    print(', '.join(f'{split}: {found[split]} of {total}' for split, total in NUM_FRAMES.items()))
    sys.exit(status)


if __name__ == '__main__':
    main()
