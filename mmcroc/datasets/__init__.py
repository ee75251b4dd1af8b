from . import transforms
from .cityscapes27 import Cityscapes27Dataset
from .coco_supercategories import COCOStuff15Dataset, COCOStuff27Dataset, COCOThings12Dataset
from .kitti_step import KITTISTEPDataset
from .voc_animals import VOCAnimalsDataset

__all__ = [
    'COCOStuff15Dataset',
    'COCOStuff27Dataset',
    'COCOThings12Dataset',
    'Cityscapes27Dataset',
    'KITTISTEPDataset',
    'VOCAnimalsDataset',
    'transforms',
]
