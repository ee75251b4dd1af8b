"""Labelled sets: ADE20K, Cityscapes with 27 classes, COCO by super-categories, KITTI-STEP, VOC.

The super-categories are those of COCO's and COCO-Stuff's hierarchy (Caesar, Uijlings, Ferrari,
*COCO-Stuff: thing and stuff classes in context*, CVPR 2018, figure 2; the ``supercategory`` fields
of the official annotation files). The 27 together are the same groups of labels as in PiCIE (Cho et
al., CVPR 2021) and STEGO (Hamilton et al., ICLR 2022); classes are numbered in another order
there, to which no matching of clusters is sensitive.

Papers take things from the panoptic masks and stuff from the stuff pixel maps. The pixel maps that
MMSegmentation users hold have both, and are the default here: say so beside a number.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from mmseg.datasets import (
    ADE20KDataset,
    BaseSegDataset,
    CityscapesDataset,
    PascalVOCDataset,
)

from mmcroc.data.label_names import IGNORE, STUFF, THINGS
from mmcroc.registry import DATASETS


def label_table(classes: dict[int, int] | Iterable[int]) -> np.ndarray:
    """Tabulate the class of every 8-bit label.

    Args:
        classes: Class by label.

    Returns:
        Classes, uint8 (256,); ``IGNORE`` for labels without a class.
    """
    table = np.full(256, IGNORE, dtype=np.uint8)
    items = classes.items() if isinstance(classes, dict) else enumerate(classes)
    for label, index in items:
        table[label] = index
    return table


class LabelTableDataset(BaseSegDataset):
    """A data set that maps the labels of its files to classes by a table.

    It does so through MMSegmentation's ``label_map``, so that any ``LoadAnnotations`` reads the
    right classes. That of MMSegmentation goes through the image once for every label;
    ``mmcroc.LoadMappedAnnotations`` does it in one pass. ``metainfo=dict(classes=...)`` selects
    classes as everywhere in MMSegmentation.

    Subclasses give ``METAINFO`` and ``LABEL_TABLES``, the tables of the kinds of files they read.

    Args:
        label_ids: Kind of labels in the files, a key of ``LABEL_TABLES``. Default: its first.
        **kwargs: Arguments of ``BaseSegDataset``.

    Raises:
        ValueError: ``label_ids`` is unknown.
    """

    LABEL_TABLES: ClassVar[dict[str, np.ndarray]] = {}

    def __init__(self, label_ids: str | None = None, **kwargs: Any) -> None:
        label_ids = label_ids or next(iter(self.LABEL_TABLES))
        if label_ids not in self.LABEL_TABLES:
            raise ValueError(
                f'{type(self).__name__}: label_ids must be one of {list(self.LABEL_TABLES)}, '
                f'got {label_ids!r}'
            )
        self.label_table = self.LABEL_TABLES[label_ids]
        super().__init__(**kwargs)

    def get_label_map(self, new_classes: Iterable[str] | None = None) -> dict[int, int]:
        """Return the class by label, for all labels that the table changes."""
        selected = super().get_label_map(new_classes)
        if selected is not None:
            self.label_table = label_table({**selected, IGNORE: IGNORE})[self.label_table]
        return {
            label: index for label, index in enumerate(self.label_table.tolist()) if label != index
        }

    def _update_palette(self) -> list[list[int]]:
        # MMSegmentation's looks colours up by the keys of label_map, which are classes there.
        classes, palette = self.METAINFO['classes'], self.METAINFO.get('palette')
        if palette is not None and self._metainfo.get('palette') == palette:
            colours = dict(zip(classes, palette, strict=True))
            return [colours[name] for name in self._metainfo['classes']]
        return super()._update_palette()

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the samples without their label map, of which each would store a copy."""
        data_list = super().load_data_list()
        for data_info in data_list:
            data_info['label_map'] = None
        return data_list

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return one sample's paths and the label map."""
        data_info = super().get_data_info(idx)
        data_info['label_map'] = self.label_map
        return data_info


@DATASETS.register_module()
class Cityscapes27Dataset(LabelTableDataset):
    """Cityscapes' 27 classes of label ids 7-33, as unsupervised protocols score them.

    The 19 classes of the benchmark and 8 that it leaves out (parking, rail track, guard rail,
    bridge, tunnel, pole group, caravan, trailer); ids 0-6 and licence plates are ignored. As in
    PiCIE (Cho et al., CVPR 2021) and STEGO (Hamilton et al., ICLR 2022). For the 19 use
    ``mmseg.CityscapesDataset``.
    """

    METAINFO = {
        'classes': (
            'road', 'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail',
            'bridge', 'tunnel', 'pole', 'polegroup', 'traffic light', 'traffic sign', 'vegetation',
            'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'caravan', 'trailer',
            'train', 'motorcycle', 'bicycle',
        ),
        'palette': [
            [128, 64, 128], [244, 35, 232], [250, 170, 160], [230, 150, 140], [70, 70, 70],
            [102, 102, 156], [190, 153, 153], [180, 165, 180], [150, 100, 100], [150, 120, 90],
            [153, 153, 153], [153, 153, 153], [250, 170, 30], [220, 220, 0], [107, 142, 35],
            [152, 251, 152], [70, 130, 180], [220, 20, 60], [255, 0, 0], [0, 0, 142], [0, 0, 70],
            [0, 60, 100], [0, 0, 90], [0, 0, 110], [0, 80, 100], [0, 0, 230], [119, 11, 32],
        ],
    }  # fmt: skip
    LABEL_TABLES = {'label': label_table({7 + index: index for index in range(27)})}

    def __init__(
        self,
        img_suffix: str = '_leftImg8bit.png',
        seg_map_suffix: str = '_gtFine_labelIds.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


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


def _tables(num_classes: int, of_train_id: list[int]) -> dict[str, np.ndarray]:
    """Label tables of a data set, from the classes of the 171 train ids."""
    return {
        'train': label_table(of_train_id),
        'raw': label_table(dict(zip(RAW_OF_TRAIN_ID, of_train_id, strict=True))),
        'class': label_table(range(num_classes)),
    }


class COCOSupercategoryDataset(LabelTableDataset):
    """COCO with MMSegmentation's layout: images and ``stuffthingmaps``.

    Args:
        label_ids: Kind of labels in the files:
            'train', MMSegmentation's 171 train ids (``000000000009_labelTrainIds.png``, written by
            its ``tools/dataset_converters/coco_stuff164k.py``; default);
            'raw', COCO-Stuff's ids 0-181 (``000000000009.png``, the pixel maps as downloaded);
            'class', the classes themselves (written from panoptic masks by
            ``tools/dataset_converters/coco_panoptic.py``).
        seg_map_suffix: Suffix of the label files. Default: the one of ``label_ids``.
        fraction: Share of the images to keep, always the same random ones: linear evaluation
            trains on a tenth of train2017.
        **kwargs: Arguments of ``BaseSegDataset``. ``ann_file`` takes a list of image names, such as
            the curated validation images of the IIC/PiCIE/STEGO protocols.
    """

    SUFFIXES = {'train': '_labelTrainIds.png', 'raw': '.png', 'class': '.png'}

    def __init__(
        self,
        label_ids: str = 'train',
        img_suffix: str = '.jpg',
        seg_map_suffix: str | None = None,
        fraction: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f'{type(self).__name__}: fraction must be in (0, 1], got {fraction}')
        self.fraction = fraction
        super().__init__(
            label_ids=label_ids,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix or self.SUFFIXES.get(label_ids),
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the samples, a random ``fraction`` of them."""
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
    """COCO-Stuff's 27 super-categories: classes 0-11 are the things, 12-26 the stuff."""

    METAINFO = {'classes': THINGS + STUFF}
    LABEL_TABLES = _tables(27, [*THING_OF_TRAIN_ID, *(12 + stuff for stuff in STUFF_OF_TRAIN_ID)])


@DATASETS.register_module()
class KITTISTEPDataset(BaseSegDataset):
    """KITTI-STEP's semantic labels: the 19 Cityscapes classes in train-id order, void 255.

    Reads what ``tools/dataset_converters/kitti_step.py`` writes: ``img_dir/{train,val}/SEQ/*.png``
    and ``ann_dir/{train,val}/SEQ/*.png``.

    Reference: Weber et al., *STEP: segmenting and tracking every pixel*, NeurIPS 2021 Datasets.
    """

    METAINFO = CityscapesDataset.METAINFO

    def __init__(
        self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class ADE20K151Dataset(BaseSegDataset):
    """ADE20K with its label 0, everything else, as a class of its own: the way of hummingbird.

    ``mmseg.ADE20KDataset`` ignores that label, and its 150 classes begin with 1. Here nothing is
    ignored; a metric's ``ignore_index=0`` leaves the pixels of label 0 out of the scores.
    """

    METAINFO = {
        'classes': ('other', *ADE20KDataset.METAINFO['classes']),
        'palette': [[0, 0, 0], *ADE20KDataset.METAINFO['palette']],
    }

    def __init__(
        self, img_suffix: str = '.jpg', seg_map_suffix: str = '.png', **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


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
