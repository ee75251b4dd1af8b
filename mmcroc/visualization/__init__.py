"""What people look at."""

from .prediction_sheet import prediction_sheet

__all__ = ['prediction_sheet']
