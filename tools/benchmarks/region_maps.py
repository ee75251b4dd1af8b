"""Time of region maps: Felzenszwalb's beside scikit-image's in a plain loop, OWT-UCM's by parts.

CPU seconds of one thread, means over images. The plain loop multiplies the scale by 1.5 until few
enough regions are left, as ours does, but runs every scale. Both take the same image in turn, and
the maps are compared. Both methods also run on copies of --longer-side pixels.

    python tools/benchmarks/region_maps.py data/bsds500/images/val --limit 12
"""

import itertools
import time
from unittest import mock

import cv2
import higra
import measure
import numpy as np
from skimage import segmentation

from mmcroc.command_line import folder, parser_of, positive
from mmcroc.data.image_reading import read_image
from mmcroc.data.oversegmentation import (
    colour_edges,
    felzenszwalb_regions,
    in_row_order,
    regions_of_copy,
    regions_of_ucm,
    ultrametric_contour_map,
)
from mmcroc.data.unlabelled import scan_images

#: Smallest region of OWT-UCM in tools/prepare_oversegmentation.py, share of the mean area.
MIN_AREA = 0.05


def parse_args():
    parser = parser_of(__doc__)
    parser.add_argument('images', metavar='IMAGES', type=folder)
    parser.add_argument('--limit', type=positive, default=12, help='default: %(default)s')
    parser.add_argument('--max-regions', type=positive, default=48, help='default: %(default)s')
    parser.add_argument('--longer-side', type=positive, default=320, help='default: %(default)s')
    return measure.add_json(parser).parse_args()


class Watched:
    """A function that counts its calls, by the shape of the first argument, and their seconds."""

    def __init__(self, function):
        self.function, self.seconds, self.shapes = function, 0.0, []

    def __call__(self, first, *args, **kwargs):
        self.shapes.append(getattr(first, 'shape', None))
        before = time.process_time()
        found = self.function(first, *args, **kwargs)
        self.seconds += time.process_time() - before
        return found


def plain_loop(image, max_regions):
    """Regions at the first scale that leaves few enough."""
    for step in itertools.count():
        labels = segmentation.felzenszwalb(
            image, scale=100 * 1.5**step, sigma=0.8, min_size=image[..., 0].size // 1000
        )
        if labels.max() < max_regions:
            return in_row_order(labels)


def seconds(function, *args):
    before = time.process_time()
    function(*args)
    return time.process_time() - before


def measured(image, max_regions, longer_side):
    """Figures of one image."""

    def owt_ucm(pixels):
        ucm = ultrametric_contour_map(colour_edges(pixels), MIN_AREA / max_regions)
        return regions_of_ucm(ucm, max_regions=max_regions)[0]

    def felzenszwalb(pixels):
        return felzenszwalb_regions(pixels, max_regions)

    plain, ours, run = map(Watched, (plain_loop, felzenszwalb_regions, segmentation.felzenszwalb))
    with mock.patch.object(segmentation, 'felzenszwalb', run):
        expected = plain(image, max_regions)
        plain_runs = len(run.shapes)
        found = ours(image, max_regions)
    edges, contours, cut = map(Watched, (colour_edges, ultrametric_contour_map, regions_of_ucm))
    hierarchy = Watched(higra.mean_pb_hierarchy)
    with mock.patch.object(higra, 'mean_pb_hierarchy', hierarchy):
        ucm = contours(edges(image), MIN_AREA / max_regions)
    cut(ucm, max_regions=max_regions)
    return {
        'felzenszwalb, plain loop, s': plain.seconds,
        'felzenszwalb, s': ours.seconds,
        'plain loop, runs': plain_runs,
        'runs at full size': run.shapes[plain_runs:].count(image.shape),
        'equal maps': float(np.array_equal(expected, found)),
        'owt-ucm, s': edges.seconds + contours.seconds + cut.seconds,
        'edges, s': edges.seconds,
        "higra's watershed and hierarchy, s": hierarchy.seconds,
        'rest of the contour map, s': contours.seconds - hierarchy.seconds,
        'cut, s': cut.seconds,
        'felzenszwalb of the copy, s': seconds(regions_of_copy, felzenszwalb, image, longer_side),
        'owt-ucm of the copy, s': seconds(regions_of_copy, owt_ucm, image, longer_side),
    }


def main():
    args = parse_args()
    cv2.setNumThreads(1)
    images = [read_image(path) for path in scan_images(args.images)[: args.limit]]
    measured(images[0], args.max_regions, args.longer_side)  # imports, memory
    rows = [measured(image, args.max_regions, args.longer_side) for image in images]
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    print(f'{len(rows)} images, at most {args.max_regions} regions')
    for name, figure in figures.items():
        print(f'{name:40s}{figure:8.3f}')
    for name in ('felzenszwalb, s', 'felzenszwalb of the copy, s'):
        ratio = figures['felzenszwalb, plain loop, s'] / figures[name]
        print(f'{name.removesuffix(", s")}: {ratio:.2f} times as fast as the plain loop')
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
