"""Cityscapes with 27 classes."""

from mmcroc.data.label_table import LabelTableDataset, label_table
from mmcroc.registry import DATASETS


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
        self, img_suffix='_leftImg8bit.png', seg_map_suffix='_gtFine_labelIds.png', **kwargs
    ):
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
