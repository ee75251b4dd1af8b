"""Copy a folder of images shrunken, as JPEGs that training reads in a third of the time.

    python tools/prepare_cache.py data/coco/train2017 data/coco_320/train2017 --short-side 320
    python tools/train.py configs/croc_vit-s_coco.py --data-root data/coco_320

OUT mirrors the tree of IMAGES: a JPEG of the same name per image (.jpg for other formats), its
short side --short-side pixels, or as it is where that is shorter. Training says in its log that it
reads a copy, and refuses one that is not finished.

Copies that are there already are kept, so an interrupted run is simply started again. Images that
cannot be read are named and left out; the exit status is then 1.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import mmcroc
from mmcroc.command_line import folder, parser_of, positive, refusals
from mmcroc.data.each_image import exit_in_words, for_each_image
from mmcroc.data.prepared_cache import mark_cache, shrink_image
from mmcroc.sole_writer import sole_writer


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument('images', metavar='IMAGES', type=folder, help='folder, nested as you like')
    parser.add_argument('out', metavar='OUT', type=Path, help='folder of the copies')
    parser.add_argument('--short-side', type=positive, default=320, help='default: %(default)s')
    parser.add_argument('--num-workers', type=positive, default=4, help='processes (default: 4)')
    return parser.parse_args(argv)


def find_jobs(images: Path, out: Path) -> list[tuple[Path, Path]]:
    """Pairs of an image and its copy's path, or a ValueError that says why there are none."""
    if out.resolve().is_relative_to(images.resolve()):
        raise ValueError(f'{out} lies in {images}, where training would take it for more images')
    jobs: dict[Path, Path] = {}
    for path in map(Path, mmcroc.data.scan_images(images)):
        target = out / path.relative_to(images)
        if target.suffix.lower() not in ('.jpg', '.jpeg'):
            target = target.with_suffix('.jpg')
        if target in jobs:
            raise ValueError(f'{jobs[target]} and {path} would both become {target}: rename one')
        jobs[target] = path
    if not jobs:
        raise ValueError(f'no images below {images}')
    return [(path, target) for target, path in jobs.items()]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with refusals():
        jobs = find_jobs(args.images, args.out)
        mark_cache(args.out, args.images, args.short_side)
    start = time.perf_counter()
    with (
        refusals(),
        sole_writer(args.out, {target.parent for _, target in jobs}),
        exit_in_words('start again to go on, what is done is kept'),
    ):
        done, failed = for_each_image(
            jobs, partial(shrink_image, args.short_side), args.num_workers
        )
    mark_cache(args.out, args.images, args.short_side, copied=len(done), left_out=len(failed))
    made = sum(done.values())
    print(
        f'{made} made, {len(done) - made} already there, {len(failed)} failed '
        f'in {time.perf_counter() - start:.0f} s: {args.out}'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
