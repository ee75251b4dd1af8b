"""COCO by super-categories: 12 of things, 15 of stuff, and both together, 27.

The super-categories are those of COCO's and COCO-Stuff's own hierarchy (Caesar, Uijlings, Ferrari,
*COCO-Stuff: thing and stuff classes in context*, CVPR 2018, figure 2; the ``supercategory`` fields
of the official annotation files). The 27 together are the same groups of labels as in PiCIE (Cho et
al., CVPR 2021) and STEGO (Hamilton et al., ICLR 2022); classes are numbered in another order
there, to which no matching of clusters is sensitive.

Papers take things from the panoptic masks and stuff from the stuff pixel maps. The pixel maps that
MMSegmentation users hold have both, and are the default here: say so beside a number.
"""

import math

import numpy as np

from mmcroc.data.label_table import IGNORE, LabelTableDataset, label_table
from mmcroc.registry import DATASETS

THINGS = (
    'accessory', 'animal', 'appliance', 'electronic', 'food', 'furniture', 'indoor', 'kitchen',
    'outdoor', 'person', 'sports', 'vehicle',
)  # fmt: skip
STUFF = (
    'building', 'ceiling', 'floor', 'food-stuff', 'furniture-stuff', 'ground', 'plant',
    'raw-material', 'sky', 'solid', 'structural', 'textile', 'wall', 'water', 'window',
)  # fmt: skip

#: Index into THINGS of MMSegmentation's train ids 0-79, which are COCO's things in COCO's order.
THING_OF_TRAIN_ID = (
    [9] + [11] * 8 + [8] * 5 + [1] * 10 + [0] * 5 + [10] * 10 + [7] * 7 + [4] * 10 + [5] * 6
    + [3] * 6 + [2] * 5 + [6] * 7
)  # fmt: skip
#: Index into STUFF of MMSegmentation's train ids 80-170, COCO-Stuff's stuff in alphabetical order.
STUFF_OF_TRAIN_ID = [
    11, 11, 6, 0, 0, 6, 4, 10, 7, 2, 1, 1, 11, 11, 8, 4, 4, 11, 4, 5, 4, 10, 2, 2, 2, 2, 2, 6, 13,
    3, 3, 4, 6, 5, 5, 9, 0, 6, 4, 11, 7, 4, 6, 9, 5, 11, 10, 7, 5, 11, 6, 7, 5, 5, 10, 5, 13, 5, 9,
    0, 11, 3, 5, 13, 4, 8, 0, 5, 9, 4, 9, 6, 10, 4, 0, 11, 11, 6, 3, 12, 12, 12, 12, 12, 12, 12,
    13, 13, 14, 14, 9,
]  # fmt: skip

#: COCO's ids (less 1) that were withdrawn: no pixel map holds them, and train ids skip them.
WITHDRAWN = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
RAW_OF_TRAIN_ID = [raw for raw in range(182) if raw not in WITHDRAWN]


def _tables(num_classes, of_train_id):
    """The label tables of a data set, from the classes of the 171 train ids."""
    return {
        'train': label_table(of_train_id),
        'raw': label_table(dict(zip(RAW_OF_TRAIN_ID, of_train_id, strict=True))),
        'class': label_table(range(num_classes)),
    }


class COCOSupercategoryDataset(LabelTableDataset):
    """COCO with MMSegmentation's layout: images and ``stuffthingmaps``.

    Args:
        label_ids (str): What the label files hold:
            'train', MMSegmentation's 171 train ids (``000000000009_labelTrainIds.png``, written by
            its ``tools/dataset_converters/coco_stuff164k.py``; default);
            'raw', COCO-Stuff's ids 0-181 (``000000000009.png``, the pixel maps as downloaded);
            'class', the classes themselves (written from panoptic masks by
            ``tools/dataset_converters/coco_panoptic.py``).
        seg_map_suffix (str): Default: the suffix that goes with ``label_ids``.
        fraction (float): Keep a random part of the images, always the same one: linear evaluation
            trains on a tenth of train2017.
        **kwargs: As ``BaseSegDataset``. ``ann_file`` takes a list of image names, such as the
            curated validation images of the IIC/PiCIE/STEGO protocols.
    """

    SUFFIXES = {'train': '_labelTrainIds.png', 'raw': '.png', 'class': '.png'}

    def __init__(
        self,
        label_ids='train',
        img_suffix='.jpg',
        seg_map_suffix=None,
        fraction=1.0,
        **kwargs,
    ):
        if not 0 < fraction <= 1:
            raise ValueError(f'{type(self).__name__}: fraction must be in (0, 1], got {fraction}')
        self.fraction = fraction
        super().__init__(
            label_ids=label_ids,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix or self.SUFFIXES.get(label_ids),
            **kwargs,
        )

    def load_data_list(self):
        """As ``BaseSegDataset``, the wanted part of it."""
        data_list = super().load_data_list()
        number = math.ceil(self.fraction * len(data_list))
        chosen = np.random.default_rng(0).permutation(len(data_list))[:number]
        return [data_list[index] for index in sorted(chosen)]


@DATASETS.register_module()
class COCOThings12Dataset(COCOSupercategoryDataset):
    """COCO's 12 super-categories of things; all stuff and unlabelled pixels are ignored."""

    METAINFO = {'classes': THINGS}
    LABEL_TABLES = _tables(12, [*THING_OF_TRAIN_ID, *([IGNORE] * 91)])


@DATASETS.register_module()
class COCOStuff15Dataset(COCOSupercategoryDataset):
    """COCO-Stuff's 15 super-categories of stuff; all things and unlabelled pixels are ignored."""

    METAINFO = {'classes': STUFF}
    LABEL_TABLES = _tables(15, [*([IGNORE] * 80), *STUFF_OF_TRAIN_ID])


@DATASETS.register_module()
class COCOStuff27Dataset(COCOSupercategoryDataset):
    """Both: classes 0-11 are the things, 12-26 the stuff."""

    METAINFO = {'classes': THINGS + STUFF}
    LABEL_TABLES = _tables(27, [*THING_OF_TRAIN_ID, *(12 + stuff for stuff in STUFF_OF_TRAIN_ID)])
