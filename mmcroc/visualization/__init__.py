"""What people look at."""

from .prediction_sheet import prediction_sheet
from .region_sheet import region_sheet

__all__ = ['prediction_sheet', 'region_sheet']
