"""Data sets of images with true regions, for :class:`mmcroc.evaluation.NFCovering`.

Cityscapes needs no class of its own: ``mmseg.CityscapesDataset`` with
``seg_map_suffix='_gtFine_instanceIds.png'``, and ``mmcroc.LoadCityscapesInstances``.
"""

import json
from pathlib import Path

from mmengine.dataset import BaseDataset

from mmcroc.data.unlabelled import scan_images
from mmcroc.registry import DATASETS


@DATASETS.register_module()
class BSDS500Regions(BaseDataset):
    """BSDS500's photographs with the regions that several people drew in each.

    Reads ``images/{split}/{id}.jpg`` and ``gt_regions/{split}/{id}_{annotator}.png``, grey PNGs of
    region ids from 1 on (the official ``.mat`` files' maps, one file each).
    Use :class:`mmcroc.data.transforms.LoadHumanRegions`: every region counts as foreground.

    Reference: Arbeláez et al., *Contour detection and hierarchical image segmentation*, PAMI 2011.

    Args:
        data_root (str): The folder.
        split (str): 'train', 'val' or 'test'.
        **kwargs: To :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: A folder is missing, there is no image, or an image without a map.
    """

    def __init__(self, data_root, split='val', **kwargs):
        self.split = split
        super().__init__(data_root=str(data_root), **kwargs)

    def load_data_list(self):
        """One entry per image: ``img_path``, ``region_paths``."""
        images, regions = (Path(self.data_root, f, self.split) for f in ('images', 'gt_regions'))
        for folder in (images, regions):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'BSDS500Regions: {folder} is not a folder (fields data_root and split)'
                )
        maps = {}
        for path in sorted(regions.glob('*_*.png')):
            maps.setdefault(path.stem.rpartition('_')[0], []).append(str(path))
        found = [Path(path) for path in scan_images(images)]
        if not found:
            raise FileNotFoundError(f'BSDS500Regions: no images in {images}')
        missing = [path.name for path in found if path.stem not in maps]
        if missing:
            raise FileNotFoundError(
                f'BSDS500Regions: {len(missing)} of {len(found)} images, such as {missing[0]}, '
                f'have no {{id}}_{{annotator}}.png in {regions}'
            )
        return [dict(img_path=str(path), region_paths=maps[path.stem]) for path in found]


@DATASETS.register_module()
class COCOPanopticRegions(BaseDataset):
    """COCO images with the things of their panoptic masks, crowds left out.

    Args:
        ann_file (str): ``annotations/panoptic_val2017.json``; its PNGs lie in the folder of its
            name.
        data_root (str): What the other paths are relative to.
        data_prefix (dict): ``img_path``, the images' folder.
        **kwargs: To :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: The file is no panoptic annotation.
    """

    def __init__(self, ann_file, data_prefix=None, **kwargs):
        prefix = data_prefix or dict(img_path='val2017')
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self):
        """One entry per image: ``img_path``, ``seg_map_path``, ``instance_ids``."""
        content = json.loads(Path(self.ann_file).read_text())
        try:
            things = {entry['id'] for entry in content['categories'] if entry['isthing']}
            names = {entry['id']: entry['file_name'] for entry in content['images']}
            folder = Path(self.ann_file).with_suffix('')
            return [
                dict(
                    img_path=str(Path(self.data_prefix['img_path'], names[entry['image_id']])),
                    seg_map_path=str(folder / entry['file_name']),
                    instance_ids=[
                        segment['id']
                        for segment in entry['segments_info']
                        if segment['category_id'] in things and not segment['iscrowd']
                    ],
                )
                for entry in content['annotations']
            ]
        except KeyError as error:
            raise ValueError(
                f'ann_file {self.ann_file} has no {error}: is it panoptic_*.json?'
            ) from error
