"""Make the region maps (over-segmentations) that HSG is trained on.

Needs the extra: pip install "mmcroc[oversegmentation]"

    python tools/prepare_oversegmentation.py data/coco/train2017 data/coco/regions/train2017
    python tools/prepare_oversegmentation.py data/cityscapes/leftImg8bit data/cityscapes/regions \\
        --threshold 0.05 --max-regions 1024

OUT mirrors the tree of IMAGES with a grey PNG per image (8 bits up to 256 regions, else 16): ids
from 0 without gaps, the image's size as training reads it (EXIF orientation applied), regions
connected. Maps that are there already and fit their image are kept, so an interrupted run is
simply started again (give OUT another name to change settings). Images that cannot be done are
named and left out; the exit status is then 1. OUT/contact_sheet.png shows some results.

The default, owt-ucm, merges watershed regions of an edge map by average linkage, as the maps of
the authors of HSG. Theirs came from learned edges (structured edges for COCO and VOC, PMI edges
for Cityscapes) and MATLAB's gPb code; here the edges are a colour gradient unless --edges gives
better ones. docs/oversegmentation.md says what that costs. felzenszwalb and slic are
scikit-image's: the former's scale grows by 1.5 until --max-regions holds, the latter's number of
segments shrinks by 5 %.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from tqdm import tqdm

SHEET = 'contact_sheet.png'
#: Smallest region of owt-ucm, share of the mean area of --max-regions regions.
MIN_AREA = 0.05
NEEDS = {'owt-ucm': 'higra', 'felzenszwalb': 'skimage', 'slic': 'skimage'}


def parse_args(argv=None):
    from mmcroc.data.oversegmentation.extra import import_extra

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', metavar='IMAGES', type=Path, help='folder, nested as you like')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the region maps')
    parser.add_argument('--method', default='owt-ucm', choices=list(NEEDS))
    parser.add_argument('--threshold', type=float, default=0.25,
                        help='of owt-ucm: contours up to here are dropped; raised by .01 until '
                        '--max-regions holds (default: %(default)s)')  # fmt: skip
    parser.add_argument('--max-regions', type=int, default=48, help='default: %(default)s')
    parser.add_argument('--edges', type=Path, metavar='FOLDER',
                        help='of owt-ucm: edge maps by the names of the images, grey PNG (8 or 16 '
                        'bits, white the strongest) or .npy in [0, 1]')  # fmt: skip
    parser.add_argument('--num-workers', type=int, default=4, help='processes (default: 4)')
    parser.add_argument('--limit', type=int, help='only the first so many images')
    parser.add_argument('--sheet-images', type=int, default=8, help='on the contact sheet')
    args = parser.parse_args(argv)
    if args.max_regions < 1 or args.num_workers < 1 or args.threshold < 0:
        parser.error('--max-regions and --num-workers must be >= 1, --threshold >= 0')
    if args.edges and args.method != 'owt-ucm':
        parser.error('--edges is for --method owt-ucm')
    for folder in filter(None, (args.images, args.edges)):
        if not folder.is_dir():
            parser.error(f'{folder} is not a folder')
    try:
        import_extra(NEEDS[args.method])
    except ImportError as error:
        parser.error(str(error))
    return args


def find_edges(folder, name):
    """The edge map of an image of the given name; FileNotFoundError names the places."""
    places = [(folder / name).with_suffix(suffix) for suffix in ('.png', '.npy')]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f'no edge map at {" or ".join(map(str, places))}')


def segment(image, name, args):
    """The regions of an image: int32 (H, W)."""
    from mmcroc.data.oversegmentation.edges import colour_edges
    from mmcroc.data.oversegmentation.region_files import read_edges
    from mmcroc.data.oversegmentation.regions_of_ucm import regions_of_ucm
    from mmcroc.data.oversegmentation.superpixels import felzenszwalb_regions, slic_regions
    from mmcroc.data.oversegmentation.ultrametric_contour_map import ultrametric_contour_map

    if args.method == 'felzenszwalb':
        return felzenszwalb_regions(image, args.max_regions)
    if args.method == 'slic':
        return slic_regions(image, args.max_regions)
    if args.edges:
        path = find_edges(args.edges, name)
        edges = read_edges(path)
        if edges.shape != image.shape[:2]:
            raise ValueError(f'{path} is {edges.shape}, its image {image.shape[:2]} (upright)')
    else:
        edges = colour_edges(image)
    ucm = ultrametric_contour_map(edges, min_area=MIN_AREA / args.max_regions)
    return regions_of_ucm(ucm, args.threshold, args.max_regions)[0]


def is_done(target, image, max_regions):
    """Whether a valid map of an image is there."""
    from mmcroc.data.oversegmentation.region_files import read_regions

    try:
        regions = read_regions(target)
    except ValueError:
        return False
    return regions.shape == image.shape[:2] and regions.max() < max_regions


def prepare(args, path, target):
    """Make one map. Returns (outcome, number of regions or what went wrong)."""
    from mmcroc.data.image_reading import read_image
    from mmcroc.data.oversegmentation.region_files import write_regions

    try:
        image = read_image(path)
        if target.exists() and is_done(target, image, args.max_regions):
            return 'there', 0
        regions = segment(image, path.relative_to(args.images), args)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_regions(target, regions)
    except Exception as error:  # one bad image must not end the work on the others
        message = str(error) if str(path) in str(error) else f'{path}: {error}'
        return 'failed', f'{message} ({type(error).__name__})'
    return 'made', int(regions.max()) + 1


def find_jobs(args):
    """Pairs of image and target; exits where two images share one target."""
    from mmcroc.data.unlabelled import scan_images

    # What an earlier run wrote is no image, should OUT be inside IMAGES.
    out = args.out.resolve()
    paths = [Path(path) for path in scan_images(args.images)]
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
    del jobs[args.out / SHEET]
    return [(path, target) for target, path in jobs.items()]


def run(args, jobs):
    """Do all jobs, with a progress bar: by job the outcome that :func:`prepare` gives."""
    import cv2

    outcomes = {}
    bar = tqdm(total=len(jobs), unit='image', file=sys.stderr, dynamic_ncols=True)

    def note(job, outcome):
        outcomes[job] = outcome
        if outcome[0] == 'failed':
            bar.write(f'failed: {outcome[1]}', file=sys.stderr)
        bar.update()

    with bar:
        if args.num_workers == 1 or len(jobs) == 1:
            for job in jobs:
                note(job, prepare(args, *job))
            return outcomes
        start = partial(cv2.setNumThreads, 1)  # the processes are the parallelism
        with ProcessPoolExecutor(args.num_workers, initializer=start) as pool:
            try:
                futures = {pool.submit(prepare, args, *job): job for job in jobs}
                for future in as_completed(futures):
                    note(futures[future], future.result())
            except BrokenProcessPool:
                sys.exit(
                    'a worker process died, probably for want of memory: start again with fewer '
                    '--num-workers; what is done is kept'
                )
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
                sys.exit('interrupted; start again to go on, what is done is kept')
    return outcomes


def write_sheet(args, done):
    """Paint the contact sheet of images evenly spread over the jobs done; returns its path."""
    from mmcroc.data.image_reading import read_image
    from mmcroc.data.oversegmentation.region_files import read_regions
    from mmcroc.pictures.region_sheet import region_sheet

    if not done or args.sheet_images < 1:
        return None
    picked = done[:: -(-len(done) // args.sheet_images)]
    examples = [(read_image(path), read_regions(target)) for path, target in picked]
    sheet = args.out / SHEET
    temporary = sheet.with_name(f'.{SHEET}')
    region_sheet(examples).save(temporary, format='PNG')
    temporary.replace(sheet)
    return sheet


def main(argv=None):
    args = parse_args(argv)
    jobs = find_jobs(args)
    start = time.perf_counter()
    outcomes = run(args, jobs)
    seconds = time.perf_counter() - start
    numbers = [number for outcome, number in outcomes.values() if outcome == 'made']
    failed = sum(outcome == 'failed' for outcome, _ in outcomes.values())
    sheet = write_sheet(args, [job for job in jobs if outcomes[job][0] != 'failed'])
    mean = f' ({sum(numbers) / len(numbers):.1f} regions on average)' if numbers else ''
    print(
        f'{len(numbers)} made{mean}, {len(outcomes) - len(numbers) - failed} already there, '
        f'{failed} failed in {seconds:.0f} s: {args.out}' + (f', see {sheet}' if sheet else '')
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
