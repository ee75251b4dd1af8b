"""Transforms: a sample's dict in, a sample's dict out. Images are uint8 RGB (height, width, 3)."""

from .colour import ColorJitter, GaussianBlur, RandomGrayscale, Solarize
from .fixed_draw import FixedDraw
from .formatting import PackTwoViews, PackTwoViewsWithRegions
from .labelled import PadImage, RandomResizedCropWithLabels, ResizeLabels, ScoreAtInputSize
from .loading import LoadMappedAnnotations, LoadRGBImage
from .regions import LoadCityscapesInstances, LoadCOCOInstances, LoadHumanRegions, PackRegions
from .two_region_views import TwoViewsWithRegions
from .two_views import TwoViews
from .watershed import WatershedOversegmentation

__all__ = [
    'ColorJitter',
    'FixedDraw',
    'GaussianBlur',
    'LoadCOCOInstances',
    'LoadCityscapesInstances',
    'LoadHumanRegions',
    'LoadMappedAnnotations',
    'LoadRGBImage',
    'PackRegions',
    'PackTwoViews',
    'PackTwoViewsWithRegions',
    'PadImage',
    'RandomGrayscale',
    'RandomResizedCropWithLabels',
    'ResizeLabels',
    'ScoreAtInputSize',
    'Solarize',
    'TwoViews',
    'TwoViewsWithRegions',
    'WatershedOversegmentation',
]
