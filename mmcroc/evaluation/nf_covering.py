"""How well the levels of a hierarchy of regions cover an image's true foreground regions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from prettytable import PrettyTable
from torch import Tensor, nn

from mmcroc.data.region_maps import read_oversegmentation
from mmcroc.features.pretrained_backbone import UnnamedModelError
from mmcroc.inference.segmentation import check_options, init_model, level_names, segment_image
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import METRICS, MODELS

#: Ids below this are compacted through a table; sorting them takes ten times as long.
_TABLE_SIZE = 1 << 26
#: Prefix of a model's name that is a folder of region maps.
REGIONS = 'regions:'


@torch.no_grad()
def region_coverings(partitions: Tensor, regions: Tensor) -> Tensor:
    """For each true region and each level, the IoU of the region that covers it best.

    Args:
        partitions: (L, H, W), integers: a map of region ids per level. Ids mean nothing across
            levels. Pixels of negative ids belong to no region.
        regions: (H, W), integers: ids of the foreground's regions from 1 on; pixels of 0 or less
            belong to none. They do count in the size of the regions of ``partitions``.

    Returns:
        (L, R), float64, the R foreground regions in the order of their ids. The mean over
        R is each level's NFCovering.

    Raises:
        ValueError: Maps of other shapes.
    """
    if partitions.dim() != 3 or partitions.shape[1:] != regions.shape or not partitions.numel():
        raise ValueError(
            f'partitions {tuple(partitions.shape)} must be (levels, H, W), not empty, with regions '
            f'(H, W), got {tuple(regions.shape)}: resize one of them, nearest neighbour'
        )
    levels = len(partitions)
    region_ids, region = _compact(regions.flatten().long().clamp_min(0))
    if region_ids[0] > 0:  # there is no background; number 0 stays free for it
        region = region + 1
    num_regions = int((region_ids > 0).sum())
    labels = partitions.flatten(1).long()
    span = int(labels.amax().clamp_min(0)) + 1
    level = torch.arange(levels, device=labels.device)[:, None]
    # Number 0 for pixels of no region.
    segment_ids, segment = _compact(torch.where(labels < 0, 0, 1 + labels + level * span))
    overlap = torch.bincount(
        (segment * (num_regions + 1) + region).flatten(),
        minlength=len(segment_ids) * (num_regions + 1),
    ).view(len(segment_ids), num_regions + 1)
    in_region = torch.bincount(region, minlength=num_regions + 1)[1:]
    real = segment_ids > 0
    overlap, segment_ids = overlap[real].double(), segment_ids[real] - 1
    both = overlap[:, 1:]
    iou = both / (overlap.sum(1, keepdim=True) + in_region - both)
    best = iou.new_zeros(levels, num_regions)
    of_level = (segment_ids // span)[:, None].expand_as(iou)
    return best.scatter_reduce_(0, of_level, iou, 'amax')


def _compact(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The values of non-negative ids in ascending order, and each id's place among them."""
    size = int(ids.max()) + 1
    if size > _TABLE_SIZE:
        return ids.unique(return_inverse=True)
    seen = torch.zeros(size, dtype=torch.bool, device=ids.device)
    seen[ids.flatten()] = True
    return seen.nonzero()[:, 0], (seen.cumsum(0) - 1)[ids]


def nf_covering(partitions: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """NFCovering of each level, and of all levels' regions together.

    Args:
        partitions: (L, H, W), as :func:`region_coverings` takes them.
        regions: (H, W), ids of the foreground's regions from 1 on.

    Returns:
        (L,), each level's; (), that of the set of all levels' regions: each true region is scored
        at the level that covers it best. float64; NaN without foreground.
    """
    coverings = region_coverings(partitions, regions)
    return coverings.mean(1), coverings.amax(0).mean()


@METRICS.register_module()
class NFCovering(BaseMetric):
    """Normalised foreground covering of true regions by the regions of each level, in percent.

    Each true region of the foreground is scored by the IoU of the predicted region that covers it
    best; the mean is over an image's regions, then over its annotators where several drew it, then
    over images. ``level_1``, ``level_2``, ... take each level's regions alone, in the order they
    are predicted in, or under the names that the model gives (``hierarchy_levels`` of the data
    samples, such as ``segments``); ``best`` takes the regions of all levels together, so that each
    true region is scored at the level that suits it.

    What counts as foreground is the loader's business: instances (``LoadCityscapesInstances``,
    ``LoadCOCOInstances``) or every region that a human drew (``LoadHumanRegions``). Images without
    foreground are left out.

    Reference: Ke et al. (HSG), CVPR 2022.

    Args:
        prediction: Field of the data samples with the predicted regions: (levels, H, W) integers
            over the image without its padding, of any size (it is resized, nearest); pixels below 0
            belong to no region.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of MMEngine's ``BaseMetric``.

    Attributes:
        report: Everything about the last evaluation, on the main process.
    """

    def __init__(
        self,
        prediction: str = 'pred_hierarchy',
        protocol: str = 'nfcovering-hsg',
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=protocol, **kwargs)
        self.prediction = prediction
        self.protocol = protocol
        self.report: dict[str, Any] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score a batch of data samples (as dicts) with predicted regions and ``gt_regions``.

        Raises:
            KeyError: A sample has no predicted or no true regions.
            ValueError: Predicted regions are not (levels, H, W) integers.
        """
        for sample in data_samples:
            name = sample.get('img_path', f'image {len(self.results)}')
            predicted = self._field(sample, self.prediction, name, 'predicts no regions')
            truth = self._field(sample, 'gt_regions', name, 'has no true regions: load them')
            if predicted.dim() != 3 or predicted.is_floating_point():
                raise ValueError(
                    f'{self.protocol}: {self.prediction} of {name} must be integers (levels, H, '
                    f'W), got {predicted.dtype} {tuple(predicted.shape)}'
                )
            predicted = nearest_resize(predicted, *truth.shape[-2:])
            scores = []
            for regions in truth.to(predicted.device):
                levels, best = nf_covering(predicted, regions)
                scores.append(torch.cat([levels, best[None]]))
            score = torch.stack(scores).nanmean(0).cpu()
            number = sum(len(regions[regions > 0].unique()) for regions in truth)
            names = sample.get('hierarchy_levels')
            names = names or [f'level_{level + 1}' for level in range(len(predicted))]
            self.results.append((name, score, number, list(names)))

    def _field(self, sample: dict, field: str, name: str, problem: str) -> Tensor:
        if field not in sample:
            raise KeyError(f'{self.protocol}: {name} {problem} (no field {field!r})')
        return sample[field]['data']

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics in percent from the scores of all images."""
        levels, names = len(results[0][1]) - 1, results[0][3]
        for name, score, *_ in results:
            if len(score) != levels + 1:
                raise ValueError(
                    f'{self.protocol}: {name} has {len(score) - 1} levels, {results[0][0]} has '
                    f'{levels}: all images need as many'
                )
        scores = torch.stack([score for _, score, *_ in results])
        scored = ~scores[:, -1].isnan()
        if not scored.any():
            raise ValueError(f'{self.protocol}: none of {len(results)} images has foreground')
        means = (100 * scores[scored].mean(0)).tolist()
        metrics = dict(zip([*names, 'best'], means, strict=True))
        self.report = dict(
            protocol=self.protocol,
            settings=dict(prediction=self.prediction),
            metrics=metrics,
            num_images=int(scored.sum()),
            num_images_without_foreground=int((~scored).sum()),
            num_regions=sum(number for _, _, number, _ in results),
        )
        table = PrettyTable(['regions', f'NFCovering, {self.protocol}'], align='r')
        table.add_rows([[name, f'{value:.2f}'] for name, value in metrics.items()])
        MMLogger.get_current_instance().info(
            f'{self.protocol}: {self.report["num_regions"]} regions of '
            f'{self.report["num_images"]} images\n{table}'
        )
        return metrics


@MODELS.register_module()
class HierarchySegmentor(BaseModel):
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
        data_preprocessor: MMEngine's ``BaseDataPreprocessor`` by default, which only moves.
        init_cfg: MMEngine's initialisation config.

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
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if model is None:
            raise UnnamedModelError('model.model')
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

    def train(self, mode: bool = True) -> 'HierarchySegmentor':
        """Frozen: neither stochastic depth nor running statistics, ever."""
        return super().train(False)

    def forward(self, inputs: list[Tensor], data_samples: list, mode: str = 'predict') -> list:
        """The samples with their maps; mode 'predict' alone: there is nothing to train."""
        if mode != 'predict':
            raise NotImplementedError(f"HierarchySegmentor only predicts maps, not '{mode}'")
        return self.predict(inputs, data_samples)

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

    def _maps(self, image: Tensor, sample: Any) -> Tensor:
        """Maps of all levels (levels, H, W), int64."""
        if self.regions:
            maps = read_oversegmentation(_map_of(self.regions, sample))
            return torch.from_numpy(maps).long()[None]
        regions = self.oversegmentation and _map_of(self.oversegmentation, sample)
        rgb = image.flip(0).permute(1, 2, 0).cpu().numpy()
        levels = segment_image(self.model, rgb, regions, self.longer_side, self.num_clusters)
        return torch.stack([torch.from_numpy(labels) for labels in levels.values()])


def _map_of(folder: str | Path, sample: Any) -> Path:
    return Path(folder, f'{Path(sample.img_path).stem}.png')
