from .edges import colour_edges as colour_edges
from .region_files import read_edges as read_edges
from .region_files import read_regions as read_regions
from .region_files import write_regions as write_regions
from .regions_of_ucm import regions_of_ucm as regions_of_ucm
from .superpixels import felzenszwalb_regions as felzenszwalb_regions
from .superpixels import slic_regions as slic_regions
from .ultrametric_contour_map import ultrametric_contour_map as ultrametric_contour_map
