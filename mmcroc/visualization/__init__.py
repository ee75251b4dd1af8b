"""What people look at."""

from .hierarchy_sheet import hierarchy_sheet
from .prediction_sheet import prediction_sheet
from .region_sheet import region_sheet

__all__ = ['hierarchy_sheet', 'prediction_sheet', 'region_sheet']
