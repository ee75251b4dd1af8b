"""Normalised foreground covering: how well the regions of a partition cover the true ones.

    NFCovering(S' → S_fg) = 1/|S_fg| · Σ_{R ∈ S_fg} max_{R' ∈ S'} |R ∩ R'| / |R ∪ R'|

Reference: Ke et al. (HSG), CVPR 2022; after Arbeláez et al., *Contour detection and hierarchical
image segmentation*, PAMI 2011, whose covering weights regions by their size.
"""

import torch

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
