"""Convert COCO's panoptic masks to label maps of super-categories.

The labels are those of ``COCOThings12Dataset``, ``COCOStuff15Dataset`` or ``COCOStuff27Dataset``
with ``label_ids='class'``: one grey PNG per image, unlabelled pixels 255. Crowds count as their
class.

    python tools/dataset_converters/coco_panoptic.py \
        data/coco/annotations/panoptic_val2017.json --classes things12
    # writes data/coco/annotations/things12_val2017/*.png
"""

import argparse
import sys
from pathlib import Path

import conversion
import numpy as np
from PIL import Image

from mmcroc.command_line import parser_of, refusals
from mmcroc.data.image_reading import load_picture
from mmcroc.data.label_names import IGNORE, STUFF, THINGS
from mmcroc.foreign_files import is_plain_name, read_json
from mmcroc.pictures.label_maps import save_png

CLASSES = {'things12': THINGS, 'stuff15': STUFF, 'stuff27': THINGS + STUFF}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument('json', type=Path, help='panoptic_{train,val}2017.json')
    parser.add_argument('--masks', type=Path, help='its PNGs; default: the folder of its name')
    parser.add_argument('--classes', default='things12', choices=list(CLASSES))
    parser.add_argument('-o', '--out-dir', type=Path, help='default: beside the JSON file')
    conversion.add_arguments(parser)
    return parser.parse_args(argv)


def class_of_category(categories: list[dict], classes: tuple[str, ...]) -> dict[int, int]:
    """The class by COCO category id; a ValueError names super-categories that are not COCO's."""
    unknown = {entry['supercategory'] for entry in categories} - {*THINGS, *STUFF}
    if unknown:
        raise ValueError(f'unknown super-categories {sorted(unknown)}: is this COCO panoptic?')
    index = {name: number for number, name in enumerate(classes)}
    return {entry['id']: index.get(entry['supercategory'], IGNORE) for entry in categories}


def convert(target: Path, source: Path, classes: tuple[tuple[int, int], ...]) -> None:
    """Write the class of every pixel, by segment ids. Pixels of no segment (id 0) are ignored."""
    with load_picture(source) as mask:
        if mask.mode != 'RGB':
            raise ValueError(f'{source} is of mode {mask.mode}, a panoptic mask is RGB')
        pixels = np.asarray(mask).astype(np.int32)
    ids, where = np.unique(pixels @ np.array([1, 256, 256**2], np.int32), return_inverse=True)
    table = dict(classes) | {0: IGNORE}
    unknown = [number for number in ids.tolist() if number not in table]
    if unknown:
        raise ValueError(f'{source} has segments {unknown[:5]} that the JSON file does not name')
    labels = np.array([table[number] for number in ids.tolist()], np.uint8)[where]
    save_png(Image.fromarray(labels.reshape(pixels.shape[:2])), target)


def jobs_of(
    path: Path, masks: Path, out_dir: Path, classes: tuple[str, ...]
) -> list[tuple[Path, Path, tuple[tuple[int, int], ...]]]:
    """Arguments of :func:`convert` for every mask; a ValueError if this is no panoptic file."""
    content = read_json(path)
    try:
        index = class_of_category(content['categories'], classes)
        jobs = []
        for entry in content['annotations']:
            name = entry['file_name']
            if not is_plain_name(name):
                raise ValueError(f'file_name {name!r} is no name of a file')
            segments = [(one['id'], index[one['category_id']]) for one in entry['segments_info']]
            jobs.append((out_dir / name, masks / name, tuple(segments)))
        return jobs
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is no panoptic_*.json of COCO: {error}') from error


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    masks = args.masks or args.json.with_suffix('')
    name = args.json.stem.replace('panoptic', args.classes)
    if args.out_dir is None and name == args.json.stem:
        sys.exit(f'{args.json} is not named panoptic_*.json: say where to write with --out-dir')
    out_dir = args.out_dir or args.json.with_name(name)
    with refusals():
        jobs = jobs_of(args.json, masks, out_dir, CLASSES[args.classes])
    status = conversion.run(convert, jobs, args.nproc, args.overwrite)
    print(f'{args.classes} of {args.json.name} in {out_dir}')
    sys.exit(status)


if __name__ == '__main__':
    main()
