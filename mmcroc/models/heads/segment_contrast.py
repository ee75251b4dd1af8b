"""Contrast over the segments, and among the centroids, of all ranks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.functional.contrast import nearest_label_accuracy, segsort_loss
from mmcroc.functional.distributed import (
    all_gather_stack,
    all_reduce_sum,
    differentiable_all_gather,
    get_rank,
    get_world_size,
)
from mmcroc.functional.precision import at_least_float32


class SegmentContrast:
    """The segments of all ranks, ready to be contrasted with by any label of theirs.

    Args:
        pixels: (N, P, C), unit vectors.
        prototypes: (N, M, C), this rank's.
        segments: This rank's.
        concentration: κ.
        sync_statistics: Whether losses are means over all ranks' pixels, or this rank's.
    """

    def __init__(self, pixels, prototypes, segments, concentration, sync_statistics=False):
        images, width = segments.mask.shape
        self.concentration = concentration
        self.pixels = pixels.flatten(0, 1)
        self.local, self.local_mask = prototypes.flatten(0, 1), segments.mask.flatten()
        self.prototypes = differentiable_all_gather(self.local)
        self.mask = all_gather_stack(self.local_mask.long()).flatten() > 0
        #: (N,), numbers of the images among all ranks'.
        self.image = torch.arange(images, device=pixels.device) + get_rank() * images
        own = segments.pixel_segment + width * self.image[:, None]
        self.own = torch.where(segments.pixel_segment < 0, -1, own).flatten()
        self.count = divisor((self.own >= 0).sum(), sync_statistics)

    def __call__(self, labels: Tensor) -> Tensor:
        """SegSort+ loss with labels (N, M) of this rank's segments, unique over images."""
        return segsort_loss(
            self.pixels,
            self.prototypes,
            self.own,
            all_gather_stack(labels).flatten(),
            self.mask,
            self.concentration,
            self.count,
        )

    def top_accuracy(self, labels: Tensor) -> Tensor:
        """Share of this rank's segments' five nearest that have the segment's label (N, M)."""
        return nearest_label_accuracy(
            self.local,
            labels.flatten(),
            self.local_mask,
            self.prototypes,
            all_gather_stack(labels).flatten(),
            self.mask,
        )


def centroid_contrast(
    centroids: Tensor, exists: Tensor, concentration: float, sync_statistics: bool = False
) -> Tensor:
    """SegSort+ loss of all centroids against themselves, each its own label: it parts them.

    Args:
        centroids: (N, K, C) of this rank's images.
        exists: (N,), images that have any segment.
        concentration: κ.
        sync_statistics: Whether the loss is the mean over all ranks' centroids, or this rank's.

    Returns:
        Scalar.
    """
    groups = centroids.shape[1]
    local = F.normalize(at_least_float32(centroids), dim=-1).flatten(0, 1)
    mask = exists.repeat_interleave(groups)
    everyone = torch.arange(get_world_size() * len(local), device=local.device)
    own = everyone[: len(local)] + get_rank() * len(local)
    return segsort_loss(
        local,
        differentiable_all_gather(local),
        torch.where(mask, own, -1),
        everyone,
        all_gather_stack(mask.long()).flatten() > 0,
        concentration,
        divisor(mask.sum(), sync_statistics),
    )


def divisor(count: Tensor, sync_statistics: bool) -> Tensor:
    """What makes a mean of a rank's sum: at least 1, where nothing counts a sum of 0 stays 0.

    Args:
        count: Scalar, how many summands this rank has.
        sync_statistics: For the mean over all ranks' summands: DistributedDataParallel averages
            gradients over ranks, so that a rank's sum has to be divided by the mean count.
    """
    if not sync_statistics:
        return count.clamp_min(1)
    return all_reduce_sum(count).clamp_min(1) / get_world_size()
