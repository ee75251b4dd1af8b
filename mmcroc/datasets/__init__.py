"""Data sets, samplers and transforms."""

from .image_reading import UnreadableImageError, read_image
from .sample_seed import SampleIndex, SeededSamples, seeded_generators
from .samplers import EpochSampler
from .synthetic_scenes import SyntheticScenes
from .transforms import (
    ColorJitter,
    GaussianBlur,
    PackTwoViews,
    RandomGrayscale,
    Solarize,
    TwoViews,
)
from .unlabelled import UnlabelledImages, scan_images

__all__ = [
    'ColorJitter',
    'EpochSampler',
    'GaussianBlur',
    'PackTwoViews',
    'RandomGrayscale',
    'SampleIndex',
    'SeededSamples',
    'Solarize',
    'SyntheticScenes',
    'TwoViews',
    'UnlabelledImages',
    'UnreadableImageError',
    'read_image',
    'scan_images',
    'seeded_generators',
]
