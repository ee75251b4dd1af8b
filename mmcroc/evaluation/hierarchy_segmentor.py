"""A segmentor without classes: regions of each image at every level, from any frozen model."""

from pathlib import Path

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmcroc.data.oversegmented import read_oversegmentation
from mmcroc.features.pretrained_backbone import NO_MODEL
from mmcroc.inference.segmentation import check_options, init_model, level_names, segment_image
from mmcroc.registry import MODELS

REGIONS = 'regions:'


@MODELS.register_module()
class HierarchySegmentor(BaseSegmentor):
    """Hands out ``pred_hierarchy``, label maps of every level, for :class:`NFCovering`.

    Images come as they are: uint8, BGR, of any size, not normalised. The maps of models are those
    of :func:`mmcroc.inference.segment_image`, at the image's own size.

    Args:
        model: An HSG checkpoint (segments and each level's groups); any other model that
            :func:`mmcroc.features.load_model` knows (spherical k-means over its tokens); or
            ``'regions:FOLDER'``: the PNG maps of a folder, by the names of the images. None, as in
            evaluation configs, is refused: what is scored is named.
        num_clusters: K of the k-means, 8 by default; not for HSG.
        longer_side: Images are resized to this for the model, pixels.
        oversegmentation: For HSG: a folder of PNG region maps, by the names of the images, to cut
            segments along.
        data_preprocessor: MMEngine's ``BaseDataPreprocessor`` by default: it moves, no more.
        init_cfg: As MMEngine's.

    Raises:
        FileNotFoundError: No such folder or model.
        ValueError: Options that this model does not take; or no model was named.
    """

    def __init__(
        self,
        model: str | None = None,
        num_clusters: int | None = None,
        longer_side: int = 512,
        oversegmentation: str | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if model is None:
            raise ValueError(NO_MODEL.format(setting='model.model'))
        self.longer_side, self.num_clusters = longer_side, num_clusters
        self.oversegmentation, self.regions = oversegmentation, None
        is_folder = model.startswith(REGIONS)
        for folder in (oversegmentation, model.removeprefix(REGIONS) if is_folder else None):
            if folder is not None and not Path(folder).is_dir():
                raise FileNotFoundError(f'HierarchySegmentor: {folder} is not a folder of maps')
        if is_folder:
            if num_clusters is not None or oversegmentation is not None:
                raise ValueError(
                    f'HierarchySegmentor: model={model!r} are the regions themselves; it takes '
                    'neither num_clusters nor oversegmentation'
                )
            self.regions = Path(model.removeprefix(REGIONS))
            self.levels = ['regions']
        else:
            self.model = init_model(None, model)
            self.levels = level_names(self.model)
            check_options(self.model, oversegmentation, num_clusters)
        # DistributedDataParallel refuses a model without a parameter to train.
        self.unused = nn.Parameter(torch.zeros(()))
        self.train(False)

    def train(self, mode: bool = True):
        """Frozen: neither stochastic depth nor running statistics, ever."""
        return super().train(False)

    def predict(self, inputs: list[Tensor], data_samples: list) -> list:
        """Data samples with ``pred_hierarchy`` (levels, H, W) and ``hierarchy_levels``, the names.

        Args:
            inputs: Images (3, H, W), uint8, BGR.
            data_samples: One each, with ``img_path`` where maps are read.
        """
        for image, sample in zip(inputs, data_samples, strict=True):
            maps = self._maps(image, sample).to(image.device)
            sample.set_data(dict(pred_hierarchy=PixelData(data=maps)))
            sample.set_metainfo(dict(hierarchy_levels=self.levels))
        return data_samples

    def _maps(self, image, sample):
        """(levels, H, W), int64."""
        if self.regions:
            regions = read_oversegmentation(_map_of(self.regions, sample))
            return torch.from_numpy(regions).long()[None]
        regions = self.oversegmentation and _map_of(self.oversegmentation, sample)
        image = image.flip(0).permute(1, 2, 0).cpu().numpy()
        maps = segment_image(self.model, image, regions, self.longer_side, self.num_clusters)
        return torch.stack([torch.from_numpy(labels) for labels in maps.values()])

    def extract_feat(self, inputs):
        """Not available: maps are what it has."""
        raise NotImplementedError('HierarchySegmentor hands out maps: call predict')

    _forward = extract_feat

    def encode_decode(self, inputs, batch_data_samples):
        """Not available: there is no head."""
        raise NotImplementedError('HierarchySegmentor predicts no classes')

    def loss(self, inputs, data_samples):
        """Not available: nothing is trained."""
        raise NotImplementedError('HierarchySegmentor trains nothing')


def _map_of(folder, sample):
    return Path(folder, f'{Path(sample.img_path).stem}.png')
