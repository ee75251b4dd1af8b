"""Over-segmentations: regions of an image found without labels, the input of HSG.

Arrays in, arrays out; ``tools/prepare_oversegmentation.py`` brings the files.
"""

from .edges import colour_edges
from .region_files import read_edges, read_regions, write_regions
from .regions_of_ucm import regions_of_ucm
from .superpixels import felzenszwalb_regions, slic_regions
from .ultrametric_contour_map import ultrametric_contour_map

__all__ = [
    'colour_edges',
    'felzenszwalb_regions',
    'read_edges',
    'read_regions',
    'regions_of_ucm',
    'slic_regions',
    'ultrametric_contour_map',
    'write_regions',
]
