"""Transforms: a sample's dict in, a sample's dict out. Images are uint8 RGB (height, width, 3)."""

from .colour import ColorJitter, GaussianBlur, RandomGrayscale, Solarize
from .formatting import PackTwoViews, PackTwoViewsWithRegions
from .labelled import RandomResizedCropWithLabels, ResizeLabels, ScoreAtInputSize
from .loading import LoadMappedAnnotations, LoadRGBImage
from .two_region_views import TwoViewsWithRegions
from .two_views import TwoViews
from .watershed import WatershedOversegmentation

__all__ = [
    'ColorJitter',
    'GaussianBlur',
    'LoadMappedAnnotations',
    'LoadRGBImage',
    'PackTwoViews',
    'PackTwoViewsWithRegions',
    'RandomGrayscale',
    'RandomResizedCropWithLabels',
    'ResizeLabels',
    'ScoreAtInputSize',
    'Solarize',
    'TwoViews',
    'TwoViewsWithRegions',
    'WatershedOversegmentation',
]
