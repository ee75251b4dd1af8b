"""Contrast of pixels against segment prototypes (SegSort, arXiv 1910.06962, and SegSort+ of HSG).

For pixel i in segment s with label ℓ, with sim_ij = κ eᵢ·pⱼ:

    loss_i = log( Σ_{j in P ∪ N} exp sim_ij ) - log( Σ_{j in P} exp sim_ij )

with P the prototypes of label ℓ other than s (s itself if there is none) and N those of other
labels.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.hsg.segments import REGION_IDS, Segments, filled_places
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
#: Pixels × prototypes whose exponentials are kept for the backward pass: 32 MiB.
KEPT_ENTRIES = 1 << 23
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
    if mask is None:
        mask = torch.ones_like(labels, dtype=torch.bool)
    if count is None:
        count = (own >= 0).sum().clamp_min(1)
    sums = segsort_sums(
        embedding[None], prototypes[None], own[None], labels[None, None], mask[None],
        concentration, chunk_size=chunk_size,
    )  # fmt: skip
    return sums[0] / count


@in_float32
def segsort_sums(
    pixels: Tensor,
    prototypes: Tensor,
    own: Tensor,
    labels: Tensor,
    mask: Tensor,
    concentration: float = 16.0,
    first_image: int = 0,
    chunk_size: int | None = None,
) -> Tensor:
    """Sums of the SegSort+ losses of N images' pixels, for each of L ways to label segments.

    Segments of two images never share a label, so other images' prototypes are negatives however
    segments are labelled: similarities and their sum over other images are computed once, and
    only a pixel's own image is gone through per labelling. Both passes go over chunks of pixels,
    and the backward pass computes anew what is too much to be kept: memory does not grow as
    pixels × prototypes.

    The sum over P is taken as such: subtracting the own segment's term from a total, as the
    released code does, loses up to percents in float32.

    Args:
        pixels: (N, P, C), unit vectors.
        prototypes: (A, M, C), unit vectors, of M places of all A images.
        own: (N, P), int64, each pixel's segment, a place of its image; -1 for pixels to leave out.
        labels: (L, N, M), int64, the segments' labels.
        mask: (A, M), places that count.
        concentration: κ.
        first_image: Number of the first of the N among all A images.
        chunk_size: Number of pixels of each image at a time, by default as suits the device.

    Returns:
        (L,), float32 (float64 for float64).

    Raises:
        ValueError: κ is not in (0, 40].
    """
    if not 0 < concentration <= MAX_CONCENTRATION:
        raise ValueError(
            f'segsort_loss: concentration must be in (0, {MAX_CONCENTRATION:g}], got '
            f'{concentration}'
        )
    if chunk_size is None:
        on_cpu = pixels.device.type == 'cpu'
        entries = CPU_CHUNK_ENTRIES if on_cpu else GPU_CHUNK_ENTRIES
        chunk_size = max(entries // max(len(pixels) * mask.numel(), 1), 1)
    return _SegSortSums.apply(
        pixels, prototypes, own, labels, mask, concentration, first_image, chunk_size
    )


class _Chunk(NamedTuple):
    """Exponentials of p pixels of each of N images.

    Attributes:
        here: Where these pixels are among the images' P.
        terms: (N, p, A, M), exponentials of other images' prototypes, 0 of the own image's.
        inside: (N, p, M), exponentials of the own image's prototypes, 0 of the own segment's.
        itself: (N, p, 1), those of the own segment's.
        mine: (N, p, 1), the own segment's place.
    """

    here: slice
    terms: Tensor
    inside: Tensor
    itself: Tensor
    mine: Tensor

    def same(self, labels: Tensor) -> Tensor:
        """Places whose label (L, N, M) is that of the pixel's segment: (L, N, p, M)."""
        mine = labels.gather(2, self.mine[..., 0].expand(len(labels), -1, -1))
        return labels[:, :, None] == mine[..., None]


def _own_images(terms: Tensor, first_image: int) -> Tensor:
    """A view of the own image's part (N, p, M) of terms (N, p, A, M)."""
    return terms.narrow(2, first_image, len(terms)).diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _exponentials(
    pixels: Tensor,
    prototypes: Tensor,
    own: Tensor,
    mask: Tensor,
    concentration: float,
    first_image: int,
    chunk_size: int,
) -> Iterator[_Chunk]:
    """Go over chunks of pixels.

    Unit vectors: κ is the greatest exponent there can be, and takes the place of the maximum of a
    log-sum-exp. Prototypes that do not count are 2^-inf = 0. Powers of 2 are the faster ones.
    """
    images, number, channels = pixels.shape
    columns = prototypes.reshape(-1, channels).mT.contiguous()
    scale = concentration / math.log(2)
    shift = pixels.new_full((mask.numel(),), -scale).masked_fill_(~mask.flatten(), -torch.inf)
    for start in range(0, number, chunk_size):
        here = slice(start, start + chunk_size)
        part = pixels[:, here].reshape(-1, channels)
        terms = torch.addmm(shift, part, columns, alpha=scale).exp2_()
        terms = terms.view(images, -1, *mask.shape)
        block = _own_images(terms, first_image)
        inside = block.clone(memory_format=torch.contiguous_format)
        block.zero_()
        mine = own[:, here].clamp_min(0)[..., None]
        itself = inside.gather(2, mine)
        yield _Chunk(here, terms, inside.scatter_(2, mine, 0), itself, mine)


class _SegSortSums(torch.autograd.Function):
    """See :func:`segsort_sums`."""

    @staticmethod
    def forward(
        ctx: Any,
        pixels: Tensor,
        prototypes: Tensor,
        own: Tensor,
        labels: Tensor,
        mask: Tensor,
        concentration: float,
        *settings: int,
    ) -> Tensor:
        ctx.settings = concentration, *settings
        kept = []
        keep = any(ctx.needs_input_grad) and own.numel() * mask.numel() <= KEPT_ENTRIES
        # Sums over P and N, and where the own segment is alone in P.
        positives, negatives = pixels.new_empty(2, len(labels), *own.shape)
        alone = torch.empty_like(positives, dtype=torch.bool)
        for chunk in _exponentials(pixels, prototypes, own, mask, *ctx.settings):
            if keep:
                kept.append(chunk)
            outside = chunk.terms.sum((2, 3))
            here = slice(None), slice(None), chunk.here
            terms = torch.where(chunk.same(labels), chunk.inside, 0)
            negatives[here] = (chunk.inside - terms).sum(-1) + outside  # exact: one of the two is 0
            positive = terms.sum(-1)
            alone[here] = positive == 0
            positives[here] = torch.where(alone[here], chunk.itself[..., 0], positive)
        valid = own >= 0
        positives.masked_fill_(~valid, 1)  # no 0 / 0 where nothing counts
        ctx.kept = [chunk.here for chunk in kept]
        ctx.save_for_backward(
            pixels, prototypes, own, labels, mask, positives, negatives, alone & valid,
            *(tensor for chunk in kept for tensor in chunk[1:]),
        )  # fmt: skip
        return torch.where(valid, (negatives / positives).log1p(), 0).sum((1, 2))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        pixels, prototypes, own, labels, mask, positives, negatives, alone, *tensors = saved
        kept = map(_Chunk, ctx.kept, *(tensors[i::4] for i in range(4)))
        concentration, first_image, _ = ctx.settings
        # What an exponential is multiplied by: of N, and of P.
        push = concentration * grad[:, None, None] * (own >= 0) / (positives + negatives)
        pull = -push * (negatives / positives)
        itself, others = (pull * alone).sum(0), push.sum(0)
        grad_pixels = torch.empty_like(pixels)
        rows = prototypes.flatten(0, 1)
        grad_rows = torch.zeros_like(rows)
        computed = _exponentials(pixels, prototypes, own, mask, *ctx.settings)
        for chunk in kept if ctx.kept else computed:
            here = slice(None), chunk.here
            pulling, pushing = (x[:, :, chunk.here, None] for x in (pull, push))
            inside = torch.where(chunk.same(labels), pulling, pushing).sum(0) * chunk.inside
            inside.scatter_(2, chunk.mine, itself[here][..., None] * chunk.itself)
            share = chunk.terms * others[here][..., None, None]
            _own_images(share, first_image).copy_(inside)
            share = share.flatten(0, 1).flatten(1)
            grad_pixels[here] = (share @ rows).view_as(pixels[here])
            grad_rows.addmm_(share.mT, pixels[here].flatten(0, 1))
        return grad_pixels, grad_rows.view_as(prototypes), *[None] * 6


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
    Goes over chunks of queries: memory does not grow as the square of what all ranks hold.
    """
    size = max(GPU_CHUNK_ENTRIES // max(len(prototypes), 1), 1)
    parts = zip(*(x.split(size) for x in (queries, query_labels, query_mask)), strict=True)
    total = torch.zeros((), device=queries.device)
    for part, its_labels, counts in parts:
        similarity = (part @ prototypes.mT).masked_fill_(~mask, -torch.inf)
        best, nearest = similarity.topk(min(num_neighbours, len(prototypes)), dim=1)
        found = best > -torch.inf
        right = ((labels[nearest] == its_labels[:, None]) & found).sum(1)
        total += torch.where(counts, right / found.sum(1).clamp_min(1), 0).sum()
    return total / query_mask.sum().clamp_min(1)


def segment_contrast(
    pixels: Tensor,
    prototypes: Tensor,
    segments: Segments,
    groupings: Sequence[Tensor],
    concentration: float,
    sync_statistics: bool = False,
) -> tuple[Tensor, Tensor]:
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
        Losses of the groupings (L,), and :func:`nearest_label_accuracy` of the first.
    """
    images = len(segments.mask)
    first = get_rank() * images
    offset = REGION_IDS * (torch.arange(images, device=pixels.device) + first)
    labels = torch.stack([labels + offset[:, None] for labels in groupings])
    labels = labels.masked_fill(~segments.mask, -1)
    everyones_labels = all_gather_stack(labels[0]).flatten(0, 1)
    everyones = differentiable_all_gather(prototypes)
    mask = everyones_labels >= 0
    used = slice(filled_places(mask))
    labels, mask, everyones = labels[..., used], mask[:, used], everyones[:, used]
    own = segments.pixel_segment
    sums = segsort_sums(pixels, everyones, own, labels, mask, concentration, first)
    losses = sums / mean_divisor((own >= 0).sum(), sync_statistics)
    accuracy = nearest_label_accuracy(
        prototypes[:, used].flatten(0, 1), labels[0].flatten(), segments.mask[:, used].flatten(),
        everyones.flatten(0, 1), everyones_labels[:, used].flatten(), mask.flatten(),
    )  # fmt: skip
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
