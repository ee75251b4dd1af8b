"""KITTI-STEP."""

from mmseg.datasets import BaseSegDataset, CityscapesDataset

from mmcroc.registry import DATASETS

#: Sequences of KITTI's tracking benchmark and their frames in all, by split.
SEQUENCES = {
    'train': (
        '0000', '0001', '0003', '0004', '0005', '0009', '0011', '0012', '0015', '0017', '0019',
        '0020',
    ),
    'val': ('0002', '0006', '0007', '0008', '0010', '0013', '0014', '0016', '0018'),
}  # fmt: skip
NUM_FRAMES = {'train': 5027, 'val': 2981}


@DATASETS.register_module()
class KITTISTEPDataset(BaseSegDataset):
    """KITTI-STEP's semantic labels: the 19 Cityscapes classes in train-id order, void 255.

    Reads what ``tools/dataset_converters/kitti_step.py`` writes: ``img_dir/{train,val}/SEQ/*.png``
    and ``ann_dir/{train,val}/SEQ/*.png``.

    Reference: Weber et al., *STEP: segmenting and tracking every pixel*, NeurIPS 2021 Datasets.
    """

    METAINFO = CityscapesDataset.METAINFO

    def __init__(self, img_suffix='.png', seg_map_suffix='.png', **kwargs):
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
