"""Images with true regions, for :class:`mmcroc.evaluation.NFCovering`: data sets and loading.

A sample gets ``gt_regions``, (annotators, H, W) int64: ids from 1 on, 0 where there is no region.
Cityscapes needs no data set of its own: ``mmseg.CityscapesDataset`` with
``seg_map_suffix='_gtFine_instanceIds.png'``, and ``mmcroc.LoadCityscapesInstances``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from mmcroc.data.image_reading import load_picture
from mmcroc.data.unlabelled import scan_images
from mmcroc.foreign_files import read_json
from mmcroc.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class BSDS500Regions(BaseDataset):
    """BSDS500's photographs with the regions that several people drew in each.

    Reads ``images/{split}/{id}.jpg`` and ``gt_regions/{split}/{id}_{annotator}.png``, grey PNGs of
    region ids from 1 on (the official ``.mat`` files' maps, one file each).
    Use :class:`LoadHumanRegions`: every region counts as foreground.

    Reference: Arbeláez et al., *Contour detection and hierarchical image segmentation*, PAMI 2011.

    Args:
        data_root: Folder of the data set.
        split: Part of the data set: 'train', 'val' or 'test'.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: A folder is missing, there is no image, or an image without a map.
    """

    def __init__(self, data_root: str, split: str = 'val', **kwargs: Any) -> None:
        self.split = split
        super().__init__(data_root=str(data_root), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images: ``img_path``, ``region_paths``."""
        images, regions = (Path(self.data_root, f, self.split) for f in ('images', 'gt_regions'))
        for folder in (images, regions):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'BSDS500Regions: {folder} is not a folder (fields data_root and split)'
                )
        maps: dict[str, list[str]] = {}
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
        ann_file: Annotation, ``annotations/panoptic_val2017.json``; its PNGs lie in the folder of
            its name.
        data_root: Folder that the other paths are relative to.
        data_prefix: Folder of the images, as ``dict(img_path=...)``.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: The file is no panoptic annotation.
    """

    def __init__(
        self, ann_file: str, data_prefix: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        prefix = data_prefix or dict(img_path='val2017')
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images: ``img_path``, ``seg_map_path``, ``instance_ids``."""
        content = read_json(self.ann_file)
        try:
            things = {entry['id'] for entry in content['categories'] if entry['isthing']}
            names = {entry['id']: entry['file_name'] for entry in content['images']}
            folder = Path(self.ann_file).with_suffix('')
            found = [
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
        except TypeError as error:
            raise ValueError(f'ann_file {self.ann_file} is no panoptic_*.json: {error}') from error
        if not found:
            raise ValueError(f'ann_file {self.ann_file} names no image')
        return found


#: Cityscapes' instance ids: class · 1000 + number. Below are stuff, and groups not told apart.
CITYSCAPES_FIRST_INSTANCE = 1000


def _read(path: str, modes: tuple[str, ...], what: str) -> np.ndarray:
    """Read a map of one of Pillow's modes, int64."""
    with load_picture(path) as image:
        if image.mode not in modes:
            raise ValueError(f'{path} is of mode {image.mode}, {what} is of {" or ".join(modes)}')
        return np.asarray(image).astype(np.int64)


def _check_size(regions: np.ndarray, path: str, results: dict[str, Any]) -> np.ndarray:
    """Return regions, or refuse those of another size than their image."""
    want = results.get('ori_shape')
    if want is not None and regions.shape[-2:] != tuple(want[:2]):
        raise ValueError(
            f'{path} is {regions.shape[-2:]}, its image {results.get("img_path")} {tuple(want[:2])}'
        )
    return regions


class _LoadRegions(BaseTransform):
    """Sets ``gt_regions``, (annotators, H, W) int64; refuses maps of another kind or size."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set ``gt_regions``."""
        results['gt_regions'] = self.regions(results)
        return results

    def regions(self, results: dict[str, Any]) -> np.ndarray:
        """Return the regions of a sample, int64 (annotators, H, W)."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class LoadHumanRegions(_LoadRegions):
    """Regions that several annotators drew, such as BSDS500's: a grey PNG of 8 or 16 bits each.

    Every region drawn counts as foreground: people were asked for parts, not for things.

    Required key: ``region_paths``, a list. Added: ``gt_regions``.
    """

    def regions(self, results: dict[str, Any]) -> np.ndarray:
        """Return every annotator's regions, int64 (annotators, H, W)."""
        maps = []
        for path in results['region_paths']:
            own = _read(path, ('L', 'I;16', 'I'), 'a map of regions')
            maps.append(_check_size(own, path, results))
        return np.stack(maps)


@TRANSFORMS.register_module()
class LoadCityscapesInstances(_LoadRegions):
    """Instances of Cityscapes (``*_gtFine_instanceIds.png``).

    Groups of things not told apart are no region, nor is stuff.

    Required key: ``seg_map_path``. Added: ``gt_regions``.
    """

    def regions(self, results: dict[str, Any]) -> np.ndarray:
        """Return the instances, int64 (1, H, W)."""
        path = results['seg_map_path']
        ids = _check_size(_read(path, ('I;16', 'I'), 'instanceIds'), path, results)
        return np.where(ids >= CITYSCAPES_FIRST_INSTANCE, ids, 0)[None]


@TRANSFORMS.register_module()
class LoadCOCOInstances(_LoadRegions):
    """Instances of things in COCO's panoptic masks; crowds and stuff are no region.

    Required keys: ``seg_map_path``, ``instance_ids`` (as :class:`COCOPanopticRegions` lists them).
    Added: ``gt_regions``.
    """

    def regions(self, results: dict[str, Any]) -> np.ndarray:
        """Return the instances, int64 (1, H, W)."""
        path = results['seg_map_path']
        pixels = _read(path, ('RGB',), 'a panoptic mask') @ np.array([1, 256, 256**2])
        ids = _check_size(pixels, path, results)
        return np.where(np.isin(ids, results['instance_ids']), ids, 0)[None]


@TRANSFORMS.register_module()
class PackRegions(PackSegInputs):
    """MMSegmentation's ``PackSegInputs``, with ``gt_regions`` in the data sample.

    Sizes differ from image to image: use ``batch_size=1``.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack image and regions."""
        packed = super().transform(results)
        regions = torch.from_numpy(results['gt_regions'])
        packed['data_samples'].set_data(dict(gt_regions=PixelData(data=regions)))
        return packed
