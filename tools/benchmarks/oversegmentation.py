"""Score region maps by human segmentations: one line of numbers.

    python tools/benchmarks/oversegmentation.py data/bsds500/regions/val data/bsds500/gt_regions/val

For NAME.png in REGIONS, the references are REFERENCES/NAME_*.png, one per annotator. Means over
images, of them over annotators:

    regions    how many
    covering   each reference region's best IoU with a region, weighted by its area
    purity     area that is right if every region takes its most frequent reference region
               (achievable segmentation accuracy)
    recall     reference boundaries within 2 pixels of a region boundary
    precision  region boundaries within 2 pixels of any annotator's boundary
"""

import argparse
import sys
from pathlib import Path

import measure
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array

from mmcroc.data.region_maps import read_oversegmentation
from mmcroc.pictures.label_maps import boundaries

NAMES = ('regions', 'covering', 'purity', 'recall', 'precision')
TOLERANCE = 2


def near(found, of):
    """Share of the pixels of ``of`` that are near ``found``; 1 where there is none."""
    if not of.any():
        return 1.0
    return (distance_transform_edt(~found)[of] <= TOLERANCE).mean() if found.any() else 0.0


def score(regions, references):
    """The numbers of :data:`NAMES` for one image."""
    _, flat = np.unique(regions, return_inverse=True)
    lines, any_line = boundaries(regions), np.zeros(regions.shape, bool)
    rows = []
    for reference in references:
        if reference.shape != regions.shape:
            raise ValueError(f'regions are {regions.shape}, a reference {reference.shape}')
        pairs = reference.ravel(), flat.ravel()
        common = coo_array((np.ones(regions.size), pairs)).toarray()  # (references, regions)
        areas = common.sum(1, keepdims=True)
        iou = common / np.maximum(areas + common.sum(0) - common, 1)
        covering = (iou.max(1) * areas[:, 0]).sum() / regions.size
        drawn = boundaries(reference)
        rows.append((covering, common.max(0).sum() / regions.size, near(lines, drawn)))
        any_line |= drawn
    return flat.max() + 1, *np.mean(rows, axis=0), near(any_line, lines)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('regions', metavar='REGIONS', type=Path)
    parser.add_argument('references', metavar='REFERENCES', type=Path)
    args = measure.add_json(parser).parse_args(argv)
    rows = []
    for path in sorted(args.regions.glob('*.png')):
        references = sorted(args.references.glob(f'{path.stem}_*.png'))
        if references:
            regions, *references = map(read_oversegmentation, (path, *references))
            rows.append(score(regions, references))
    if not rows:
        sys.exit(f'no NAME.png of {args.regions} has a NAME_*.png in {args.references}')
    means = dict(zip(NAMES, np.mean(rows, axis=0).tolist(), strict=True))
    print(f'{len(rows)} images:', ', '.join(f'{name} {mean:.3f}' for name, mean in means.items()))
    measure.record(args.json, means)


if __name__ == '__main__':
    main()
