"""How well the levels of a hierarchy of regions cover an image's true foreground regions."""

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from prettytable import PrettyTable

from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import METRICS

#: Ids below this are compacted through a table; sorting them takes ten times as long.
_TABLE_SIZE = 1 << 26


@torch.no_grad()
def region_coverings(partitions, regions):
    """For each true region and each level, the IoU of the region that covers it best.

    Args:
        partitions (Tensor): (L, H, W), integers: a map of region ids per level. Ids mean nothing
            across levels. Pixels of negative ids belong to no region.
        regions (Tensor): (H, W), integers: ids of the foreground's regions from 1 on; pixels of 0
            or less belong to none. They do count in the size of the regions of ``partitions``.

    Returns:
        Tensor: (L, R), float64, the R foreground regions in the order of their ids. The mean over
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


def _compact(ids):
    """The values of non-negative ids in ascending order, and each id's place among them."""
    size = int(ids.max()) + 1
    if size > _TABLE_SIZE:
        return ids.unique(return_inverse=True)
    seen = torch.zeros(size, dtype=torch.bool, device=ids.device)
    seen[ids.flatten()] = True
    return seen.nonzero()[:, 0], (seen.cumsum(0) - 1)[ids]


def nf_covering(partitions, regions):
    """NFCovering of each level, and of all levels' regions together.

    Args:
        partitions (Tensor): (L, H, W), as :func:`region_coverings`.
        regions (Tensor): (H, W), likewise.

    Returns:
        tuple[Tensor, Tensor]: (L,), each level's; (), that of the set of all levels' regions: each
        true region is scored at the level that covers it best. float64; NaN without foreground.
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

    What counts as foreground is the loader's business: instances
    (:class:`mmcroc.data.LoadCityscapesInstances`, :class:`mmcroc.data.LoadCOCOInstances`)
    or every region a human drew (:class:`mmcroc.data.LoadHumanRegions`). Images without
    foreground are left out.

    Reference: Ke et al. (HSG), CVPR 2022.

    Args:
        prediction (str): The data sample's field with the predicted regions: (levels, H, W)
            integers over the image without its padding, of any size (it is resized, nearest);
            pixels below 0 belong to no region.
        protocol (str): The protocol's name: the prefix of every number.
        **kwargs: As MMEngine's.

    Attributes:
        report (dict): Everything about the last evaluation, on the main process.
    """

    def __init__(self, prediction='pred_hierarchy', protocol='nfcovering-hsg', **kwargs):
        super().__init__(prefix=protocol, **kwargs)
        self.prediction = prediction
        self.protocol = protocol
        self.report = {}

    def process(self, data_batch, data_samples):
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

    def _field(self, sample, field, name, problem):
        if field not in sample:
            raise KeyError(f'{self.protocol}: {name} {problem} (no field {field!r})')
        return sample[field]['data']

    def compute_metrics(self, results):
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
