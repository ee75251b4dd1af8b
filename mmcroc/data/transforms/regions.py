"""Loading and packing of true regions: ``gt_regions``, ids from 1 on, 0 where there is none."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from PIL import Image

from mmcroc.registry import TRANSFORMS

#: Cityscapes' instance ids: class · 1000 + number. Below are stuff, and groups not told apart.
CITYSCAPES_FIRST_INSTANCE = 1000


def _read(path, modes, what):
    with Image.open(path) as image:
        if image.mode not in modes:
            raise ValueError(f'{path} is of mode {image.mode}, {what} is of {" or ".join(modes)}')
        return np.asarray(image).astype(np.int64)


def _check_size(regions, path, results):
    want = results.get('ori_shape')
    if want is not None and regions.shape[-2:] != tuple(want[:2]):
        raise ValueError(
            f'{path} is {regions.shape[-2:]}, its image {results.get("img_path")} {tuple(want[:2])}'
        )
    return regions


class _LoadRegions(BaseTransform):
    """Sets ``gt_regions``, (annotators, H, W) int64.

    Raises:
        ValueError: A map of another kind, or of another size than its image.
    """

    def transform(self, results):
        """See the class."""
        results['gt_regions'] = self.regions(results)
        return results

    def regions(self, results):
        """The regions of a sample, (annotators, H, W)."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class LoadHumanRegions(_LoadRegions):
    """Regions that several annotators drew, such as BSDS500's: a grey PNG of 8 or 16 bits each.

    Every region drawn counts as foreground: people were asked for parts, not for things.

    Required key: ``region_paths``, a list. Added: ``gt_regions``.
    """

    def regions(self, results):
        """See the class; ids from 1 on."""
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

    def regions(self, results):
        """See the class."""
        path = results['seg_map_path']
        ids = _check_size(_read(path, ('I;16', 'I'), 'instanceIds'), path, results)
        return np.where(ids >= CITYSCAPES_FIRST_INSTANCE, ids, 0)[None]


@TRANSFORMS.register_module()
class LoadCOCOInstances(_LoadRegions):
    """Instances of things in COCO's panoptic masks; crowds and stuff are no region.

    Required keys: ``seg_map_path``, ``instance_ids`` (as :class:`COCOPanopticRegions` lists them).
    Added: ``gt_regions``.
    """

    def regions(self, results):
        """See the class."""
        path = results['seg_map_path']
        pixels = _read(path, ('RGB',), 'a panoptic mask') @ np.array([1, 256, 256**2])
        ids = _check_size(pixels, path, results)
        return np.where(np.isin(ids, results['instance_ids']), ids, 0)[None]


@TRANSFORMS.register_module()
class PackRegions(PackSegInputs):
    """MMSegmentation's ``PackSegInputs``, with ``gt_regions`` in the data sample.

    Sizes differ from image to image: use ``batch_size=1``.
    """

    def transform(self, results):
        """See the class."""
        packed = super().transform(results)
        regions = torch.from_numpy(results['gt_regions'])
        packed['data_samples'].set_data(dict(gt_regions=PixelData(data=regions)))
        return packed
