"""What people look at.

``painters``, which run models, is not imported here: sheets and curves need none.
"""

from .curves import plot_curves, read_run
from .heat_map import heat_map
from .label_map_files import compact_labels, write_label_map
from .overlay import overlay, overlay_sheet
from .prediction_sheet import prediction_sheet
from .region_sheet import region_sheet
from .retrieval_sheet import retrieval_sheet
from .token_colours import TokenColours
from .view_crops import crops_on_image

__all__ = [
    'TokenColours',
    'compact_labels',
    'crops_on_image',
    'heat_map',
    'overlay',
    'overlay_sheet',
    'plot_curves',
    'prediction_sheet',
    'read_run',
    'region_sheet',
    'retrieval_sheet',
    'write_label_map',
]
