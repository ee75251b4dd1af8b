"""Data sets, samplers and transforms."""

from .cityscapes27 import Cityscapes27Dataset
from .coco_supercategories import COCOStuff15Dataset, COCOStuff27Dataset, COCOThings12Dataset
from .image_reading import UnreadableImageError, read_image
from .kitti_step import KITTISTEPDataset
from .oversegmented import OversegmentedImages, read_oversegmentation
from .sample_seed import SampleIndex, SeededSamples, seeded_generators
from .samplers import EndlessEpochSampler, EpochSampler
from .synthetic_scenes import SyntheticScenes
from .transforms import (
    ColorJitter,
    GaussianBlur,
    LoadCityscapesInstances,
    LoadCOCOInstances,
    LoadHumanRegions,
    LoadMappedAnnotations,
    LoadRGBImage,
    PackRegions,
    PackTwoViews,
    PackTwoViewsWithRegions,
    PadImage,
    RandomGrayscale,
    RandomResizedCropWithLabels,
    ResizeLabels,
    ScoreAtInputSize,
    Solarize,
    TwoViews,
    TwoViewsWithRegions,
    WatershedOversegmentation,
)
from .true_regions import BSDS500Regions, COCOPanopticRegions
from .unlabelled import UnlabelledImages, scan_images
from .voc_animals import VOCAnimalsDataset

__all__ = [
    'BSDS500Regions',
    'COCOPanopticRegions',
    'COCOStuff15Dataset',
    'COCOStuff27Dataset',
    'COCOThings12Dataset',
    'Cityscapes27Dataset',
    'ColorJitter',
    'EndlessEpochSampler',
    'EpochSampler',
    'GaussianBlur',
    'KITTISTEPDataset',
    'LoadCOCOInstances',
    'LoadCityscapesInstances',
    'LoadHumanRegions',
    'LoadMappedAnnotations',
    'LoadRGBImage',
    'OversegmentedImages',
    'PackRegions',
    'PackTwoViews',
    'PackTwoViewsWithRegions',
    'PadImage',
    'RandomGrayscale',
    'RandomResizedCropWithLabels',
    'ResizeLabels',
    'SampleIndex',
    'ScoreAtInputSize',
    'SeededSamples',
    'Solarize',
    'SyntheticScenes',
    'TwoViews',
    'TwoViewsWithRegions',
    'UnlabelledImages',
    'UnreadableImageError',
    'VOCAnimalsDataset',
    'WatershedOversegmentation',
    'read_image',
    'read_oversegmentation',
    'scan_images',
    'seeded_generators',
]
