"""Contrast of pixels against segment prototypes (SegSort, arXiv 1910.06962, and SegSort+ of HSG).

For pixel i in segment s with label ℓ, with sim_ij = κ eᵢ·pⱼ:

    loss_i = log( Σ_{j in P ∪ N} exp sim_ij ) - log( Σ_{j in P} exp sim_ij )

with P the prototypes of label ℓ other than s (s itself if there is none) and N those of other
labels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.hsg.segments import REGION_IDS, Segments
from mmcroc.numerics.distributed import (
    all_gather_stack,
    differentiable_all_gather,
    get_rank,
    get_world_size,
    mean_divisor,
)
from mmcroc.numerics.precision import in_float32

#: Entries of pixels × prototypes held at a time: a CPU's cache, or a few hundred MiB of a GPU.
CPU_CHUNK_ENTRIES = 1 << 18
GPU_CHUNK_ENTRIES = 1 << 24
#: exp(-2κ) has to be a float32.
MAX_CONCENTRATION = 40.0


@in_float32
def segsort_loss(
    embedding: Tensor,
    prototypes: Tensor,
    own: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    concentration: float = 16.0,
    count: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Mean SegSort+ loss of pixels against prototypes.

    Gradients of both are taken in the same pass over chunks of pixels, so that memory does not
    grow as pixels × prototypes. The sum over P is taken as such: subtracting the own segment's
    term from a total, as the released code does, loses up to percents in float32.

    Args:
        embedding: (Q, C), unit vectors.
        prototypes: (S, C), unit vectors.
        own: (Q,), int64, index of each pixel's segment; -1 for pixels to leave out.
        labels: (S,), int64, the prototypes' labels; a pixel has its segment's.
        mask: (S,), prototypes that count; all by default.
        concentration: κ.
        count: Divisor of the sum, above 0; the number of pixels that count by default.
        chunk_size: Number of pixels at a time, by default as suits the device.

    Returns:
        Scalar, float32 (float64 for float64); 0 when no pixel counts.

    Raises:
        ValueError: κ is not in (0, 40].
    """
    if not 0 < concentration <= MAX_CONCENTRATION:
        raise ValueError(
            f'segsort_loss: concentration must be in (0, {MAX_CONCENTRATION:g}], got '
            f'{concentration}'
        )
    if chunk_size is None:
        on_cpu = embedding.device.type == 'cpu'
        entries = CPU_CHUNK_ENTRIES if on_cpu else GPU_CHUNK_ENTRIES
        chunk_size = max(entries // max(len(prototypes), 1), 1)
    if mask is None:
        mask = torch.ones_like(labels, dtype=torch.bool)
    if count is None:
        count = (own >= 0).sum().clamp_min(1)
    total = _SegSortSum.apply(embedding, prototypes, own, labels, mask, concentration, chunk_size)
    return total / count


class _SegSortSum(torch.autograd.Function):
    """Sum of the losses; the gradients are ready when it returns."""

    @staticmethod
    def forward(
        ctx: Any,
        embedding: Tensor,
        prototypes: Tensor,
        own: Tensor,
        labels: Tensor,
        mask: Tensor,
        concentration: float,
        chunk_size: int,
    ) -> Tensor:
        wants_gradient = any(ctx.needs_input_grad[:2])
        grad_embedding = grad_prototypes = embedding.new_empty(0)
        if wants_gradient:
            grad_embedding, grad_prototypes = map(torch.zeros_like, (embedding, prototypes))
        # Unit vectors: κ is the greatest exponent there can be, and takes the place of the maximum
        # of a log-sum-exp. Prototypes that do not count are e^-inf = 0.
        shift = prototypes.new_zeros(len(prototypes)).masked_fill_(~mask, -torch.inf)
        shift -= concentration
        total = embedding.new_zeros(())
        for start in range(0, len(embedding), chunk_size):
            pixels = embedding[start : start + chunk_size]
            valid = own[start : start + chunk_size, None] >= 0
            mine = own[start : start + chunk_size, None].clamp_min(0)
            terms = torch.addmm(shift, pixels, prototypes.mT, alpha=concentration).exp_()
            itself = terms.gather(1, mine)
            terms.scatter_(1, mine, 0)
            positive = terms * (labels == labels[mine])
            negative = terms.sub_(positive)  # exact: one of the two is 0
            positive_sum, negative_sum = (x.sum(1, keepdim=True) for x in (positive, negative))
            alone = positive_sum == 0
            positive_sum = torch.where(alone, itself, positive_sum)
            positive_sum = torch.where(valid, positive_sum, 1)  # no 0 / 0 where nothing counts
            odds = negative_sum / positive_sum
            total += torch.where(valid, odds.log1p(), 0).sum()
            if wants_gradient:
                weight = torch.where(valid, concentration / (negative_sum + positive_sum), 0)
                positive.scatter_add_(1, mine, torch.where(alone, itself, 0))
                share = negative.mul_(weight).sub_(positive.mul_(weight * odds))
                grad_embedding[start : start + chunk_size] = share @ prototypes
                grad_prototypes.addmm_(share.mT, pixels)
        if wants_gradient:
            ctx.save_for_backward(grad_embedding, grad_prototypes)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_embedding, grad_prototypes = ctx.saved_tensors
        return grad * grad_embedding, grad * grad_prototypes, *[None] * 5


@torch.no_grad()
@in_float32
def nearest_label_accuracy(
    queries: Tensor,
    query_labels: Tensor,
    query_mask: Tensor,
    prototypes: Tensor,
    labels: Tensor,
    mask: Tensor,
    num_neighbours: int = 5,
) -> Tensor:
    """How often a prototype's nearest by cosine, itself among them, share its label.

    Of queries (S, C), unit vectors that are among the prototypes (T, C), each with labels and a
    mask of those that count: the mean over queries of the share of nearest ones with its label.
    """
    similarity = (queries @ prototypes.mT).masked_fill(~mask, -torch.inf)
    best, nearest = similarity.topk(min(num_neighbours, len(prototypes)), dim=1)
    found = best > -torch.inf
    share = ((labels[nearest] == query_labels[:, None]) & found).sum(1) / found.sum(1).clamp_min(1)
    return torch.where(query_mask, share, 0).sum() / query_mask.sum().clamp_min(1)


def segment_contrast(
    pixels: Tensor,
    prototypes: Tensor,
    segments: Segments,
    groupings: Sequence[Tensor],
    concentration: float,
    sync_statistics: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """SegSort+ losses of this rank's pixels with the segments of all ranks, one per grouping.

    Args:
        pixels: (N, P, C), unit vectors.
        prototypes: (N, M, C), unit vectors.
        segments: Segments of these N images.
        groupings: Per grouping (N, M), int64, each segment's label in [0, 2^17). Segments of two
            images never share a label.
        concentration: κ.
        sync_statistics: Whether losses are means over all ranks' pixels instead of this rank's.

    Returns:
        Loss of each grouping, and :func:`nearest_label_accuracy` of the first.
    """
    images, width = segments.mask.shape
    image = torch.arange(images, device=pixels.device) + get_rank() * images
    own = segments.pixel_segment + width * image[:, None]
    own = torch.where(segments.pixel_segment < 0, -1, own).flatten()
    labels = torch.stack([labels + REGION_IDS * image[:, None] for labels in groupings])
    labels = labels.masked_fill(~segments.mask, -1).flatten(1)
    everyones = all_gather_stack(labels).transpose(0, 1).flatten(1)
    mask = everyones[0] >= 0
    local = prototypes.flatten(0, 1)
    prototypes = differentiable_all_gather(local)
    count = mean_divisor((own >= 0).sum(), sync_statistics)
    losses = [
        segsort_loss(pixels.flatten(0, 1), prototypes, own, grouping, mask, concentration, count)
        for grouping in everyones
    ]
    accuracy = nearest_label_accuracy(
        local, labels[0], labels[0] >= 0, prototypes, everyones[0], mask
    )
    return losses, accuracy


@in_float32
def centroid_contrast(
    centroids: Tensor, exists: Tensor, concentration: float, sync_statistics: bool = False
) -> Tensor:
    """SegSort+ loss of all ranks' centroids, each with a label of its own: it drives them apart.

    Args:
        centroids: (N, K, C), centroids of this rank's images.
        exists: (N,), images that have any segment.
        concentration: κ.
        sync_statistics: Whether it is the mean over all ranks' centroids instead of this rank's.
    """
    local = F.normalize(centroids, dim=-1).flatten(0, 1)
    mask = exists.repeat_interleave(centroids.shape[1])
    labels = torch.arange(get_world_size() * len(local), device=local.device)
    own = labels[: len(local)] + get_rank() * len(local)
    return segsort_loss(
        local,
        differentiable_all_gather(local),
        torch.where(mask, own, -1),
        labels,
        all_gather_stack(mask.long()).flatten() > 0,
        concentration,
        mean_divisor(mask.sum(), sync_statistics),
    )
