"""The animals of Pascal VOC: a small experiment on real images."""

from mmseg.datasets import PascalVOCDataset

from mmcroc.data.label_table import LabelTableDataset, label_table
from mmcroc.registry import DATASETS

ANIMAL_CLASSES = ('background', 'cat', 'cow', 'dog', 'horse', 'person', 'sheep')
_VOC = PascalVOCDataset.METAINFO


@DATASETS.register_module()
class VOCAnimalsDataset(LabelTableDataset):
    """VOC-format labels scored over background, cat, cow, dog, horse, person and sheep.

    Pixels of all other classes are ignored, as VOC's void borders are. Scores are over 7 classes
    and do not belong beside VOC's over 21.
    """

    METAINFO = {
        'classes': ANIMAL_CLASSES,
        'palette': [_VOC['palette'][_VOC['classes'].index(name)] for name in ANIMAL_CLASSES],
    }
    LABEL_TABLES = {
        'voc': label_table(
            {_VOC['classes'].index(name): index for index, name in enumerate(ANIMAL_CLASSES)}
        )
    }
