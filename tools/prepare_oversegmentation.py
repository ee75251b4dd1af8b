"""Make the region maps (over-segmentations) that HSG is trained on.

Needs the extra: pip install "mmcroc[oversegmentation]"

    python tools/prepare_oversegmentation.py data/coco/train2017 data/coco/regions/train2017
    python tools/prepare_oversegmentation.py data/cityscapes/leftImg8bit data/cityscapes/regions \\
        --threshold 0.05 --max-regions 1024

OUT mirrors the tree of IMAGES with a grey PNG of region ids per image. Maps that are there already
and fit their image are kept, so an interrupted run is simply started again (give OUT another name
to change settings). Images that cannot be done are named and left out; the exit status is then 1.
OUT/contact_sheet.png shows some results.

The default, owt-ucm, makes maps as the authors of HSG did, of a colour gradient unless --edges
gives better edges; felzenszwalb and slic are scikit-image's; tokens are clusters of what --model
sees (docs/oversegmentation.md).
"""

import argparse
import contextlib
import functools
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import mmcroc
from mmcroc.command_line import folder, parser_of, positive, refusals
from mmcroc.data.each_image import exit_in_words, for_each_image
from mmcroc.sole_writer import sole_writer

if TYPE_CHECKING:
    from mmengine.model import BaseModel

SHEET = 'contact_sheet.png'
#: Smallest region of owt-ucm, share of the mean area of --max-regions regions.
MIN_AREA = 0.05
NEEDS = {'owt-ucm': 'higra', 'felzenszwalb': 'skimage', 'slic': 'skimage', 'tokens': 'skimage'}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument('images', metavar='IMAGES', type=folder, help='folder, nested as you like')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the region maps')
    parser.add_argument('--method', default='owt-ucm', choices=list(NEEDS))
    parser.add_argument('--threshold', type=float, default=0.25,
                        help='of owt-ucm: contours up to here are dropped; raised by .01 until '
                        '--max-regions holds (default: %(default)s)')  # fmt: skip
    parser.add_argument('--max-regions', type=positive, default=48, help='default: %(default)s')
    parser.add_argument('--edges', type=folder, metavar='FOLDER',
                        help='of owt-ucm: edge maps by the names of the images, grey PNG (8 or 16 '
                        'bits, white the strongest) or .npy in [0, 1]')  # fmt: skip
    parser.add_argument('--model', help='of tokens: any model, on a GPU where there is one')
    parser.add_argument(
        '--longer-side',
        type=positive,
        help='find the regions in copies no larger than this: 320 is as good for '
        'photographs, in half the time (default: whole images; of tokens 512)',
    )
    parser.add_argument('--num-workers', type=positive,
                        help="processes (default: 4; of tokens 1, torch's threads)")  # fmt: skip
    parser.add_argument('--limit', type=int, help='only the first so many images')
    parser.add_argument('--sheet-images', type=int, default=8, help='on the contact sheet')
    args = parser.parse_args(argv)
    if args.threshold < 0:
        parser.error('--threshold must be >= 0')
    if args.edges and args.method != 'owt-ucm':
        parser.error('--edges is for --method owt-ucm')
    if args.edges and args.longer_side:
        parser.error("--longer-side shrinks images, but --edges are of the images' size")
    if (args.model is None) == (args.method == 'tokens'):
        parser.error('--method tokens takes the tokens of --model MODEL, other methods none')
    args.num_workers = args.num_workers or (1 if args.model else 4)
    try:
        mmcroc.data.import_extra(NEEDS[args.method])
    except ImportError as error:
        parser.error(str(error))
    return args


@functools.cache
def named_model(name: str) -> 'BaseModel':
    """A model of a name, once in a process."""
    return mmcroc.inference.init_model(None, name, None)


def segment(image: np.ndarray, name: Path, args: argparse.Namespace) -> np.ndarray:
    """Find the regions of an image: int32 (H, W)."""
    if args.method == 'tokens':
        model, side = named_model(args.model), args.longer_side or 512
        return mmcroc.hsg.token_regions(model, image, args.max_regions, side)
    if args.edges:
        places = [(args.edges / name).with_suffix(suffix) for suffix in ('.png', '.npy')]
        path = next((place for place in places if place.exists()), None)
        if path is None:
            raise FileNotFoundError(f'no edge map at {" or ".join(map(str, places))}')
        edges = mmcroc.data.read_edges(path)
        if edges.shape != image.shape[:2]:
            raise ValueError(f'{path} is {edges.shape}, its image {image.shape[:2]} (upright)')
        return regions_of_edges(edges, args)

    def find(pixels: np.ndarray) -> np.ndarray:
        if args.method == 'felzenszwalb':
            return mmcroc.data.felzenszwalb_regions(pixels, args.max_regions)
        if args.method == 'slic':
            return mmcroc.data.slic_regions(pixels, args.max_regions)
        return regions_of_edges(mmcroc.data.colour_edges(pixels), args)

    if args.longer_side is None:
        return find(image)
    return mmcroc.data.regions_of_copy(find, image, args.longer_side)


def regions_of_edges(edges: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    """Regions of owt-ucm: int32 (H, W)."""
    ucm = mmcroc.data.ultrametric_contour_map(edges, min_area=MIN_AREA / args.max_regions)
    return mmcroc.data.regions_of_ucm(ucm, args.threshold, args.max_regions)[0]


def prepare(args: argparse.Namespace, path: Path, target: Path) -> int:
    """Make one map: the number of its regions, 0 if a valid one is there already."""
    image = mmcroc.data.read_image(path)
    if target.exists():
        with contextlib.suppress(ValueError):  # no map
            regions = mmcroc.data.read_oversegmentation(target)
            if regions.shape == image.shape[:2] and regions.max() < args.max_regions:
                return 0
    regions = segment(image, path.relative_to(args.images), args)
    mmcroc.data.write_oversegmentation(target, regions)
    return int(regions.max()) + 1


def find_jobs(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Pairs of image and target; exits where two images share one target."""
    # What an earlier run wrote is no image, should OUT be inside IMAGES.
    out = args.out.resolve()
    paths = [Path(path) for path in mmcroc.data.scan_images(args.images)]
    paths = [path for path in paths if not path.resolve().is_relative_to(out)]
    paths = paths[: args.limit]
    if not paths:
        sys.exit(f'no images below {args.images}')
    jobs = {args.out / SHEET: 'the contact sheet'}
    for path in paths:
        target = args.out / path.relative_to(args.images).with_suffix('.png')
        if target in jobs:
            sys.exit(f'{jobs[target]} and {path} would both become {target}: rename one')
        jobs[target] = path
    return [(path, target) for target, path in jobs.items()][1:]


def write_sheet(args: argparse.Namespace, done: list[tuple[Path, Path]]) -> str:
    """Paint the contact sheet of images evenly spread over the jobs done; says where it is."""
    if not done or args.sheet_images < 1:
        return ''
    examples = [
        (mmcroc.data.read_image(path), mmcroc.data.read_oversegmentation(target))
        for path, target in done[:: -(-len(done) // args.sheet_images)]
    ]
    mmcroc.pictures.save_png(mmcroc.pictures.region_sheet(examples), args.out / SHEET)
    return f', see {args.out / SHEET}'


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    jobs = find_jobs(args)
    if args.model:
        with refusals(f'{args.model} cannot be used so: '):
            named_model(args.model)
    start = time.perf_counter()
    with (
        refusals(),
        sole_writer(args.out, {target.parent for _, target in jobs}),
        exit_in_words('start again to go on, what is done is kept'),
    ):
        done, failed = for_each_image(jobs, partial(prepare, args), args.num_workers)
    seconds = time.perf_counter() - start
    numbers = [number for number in done.values() if number]
    sheet = write_sheet(args, [job for job in jobs if job in done])
    mean = f' ({sum(numbers) / len(numbers):.1f} regions on average)' if numbers else ''
    print(
        f'{len(numbers)} made{mean}, {len(done) - len(numbers)} already there, '
        f'{len(failed)} failed in {seconds:.0f} s: {args.out}{sheet}'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
