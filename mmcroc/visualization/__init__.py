"""What people look at."""

from .label_map_files import compact_labels, write_label_map
from .overlay import overlay, overlay_sheet
from .prediction_sheet import prediction_sheet
from .region_sheet import region_sheet
from .retrieval_sheet import retrieval_sheet

__all__ = [
    'compact_labels',
    'overlay',
    'overlay_sheet',
    'prediction_sheet',
    'region_sheet',
    'retrieval_sheet',
    'write_label_map',
]
