"""What people look at."""

from .hierarchy_sheet import hierarchy_sheet
from .label_map_files import compact_labels, write_label_map
from .overlay import overlay, overlay_sheet
from .prediction_sheet import prediction_sheet
from .region_sheet import region_sheet

__all__ = [
    'compact_labels',
    'hierarchy_sheet',
    'overlay',
    'overlay_sheet',
    'prediction_sheet',
    'region_sheet',
    'write_label_map',
]
