"""Segments: clusters of pixels cut along an over-segmentation (HSG, arXiv 2204.11432, section 3).

Everything runs on a whole batch at once. An image's segments are numbered by (view, cluster,
region) and lie in a table of fixed width with a mask, so that their number, which only the data
knows, never has to be asked for.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.numerics.distributed import all_reduce_max
from mmcroc.numerics.precision import in_float32

IGNORE = -1
#: Region ids are below this (maps are of 16 bits at most).
REGION_IDS = 1 << 17
#: Entries of pixels × clusters held at a time: a CPU's cache, or a few hundred MiB of a GPU.
CPU_CHUNK_ENTRIES = 1 << 19
GPU_CHUNK_ENTRIES = 1 << 26
_INVALID = torch.iinfo(torch.int64).max


@dataclass
class Segments:
    """The segments of N images of V views of P pixels, M places each.

    Attributes:
        pixel_segment: (N, V·P), int64, each pixel's place in its image's table, -1 where ignored
            (or where the table was too small, see ``counts``).
        mask: (N, M), places that hold a segment. They come first.
        view: (N, M), int64, each segment's view, -1 where there is none.
        region: (N, M), int64, each segment's region in the over-segmentation, -1 where none.
        counts: (N,), number of segments of each image, whatever M is.
    """

    pixel_segment: Tensor
    mask: Tensor
    view: Tensor
    region: Tensor
    counts: Tensor


def grid_labels(
    grid: tuple[int, int], height: int, width: int, device: torch.device | None = None
) -> Tensor:
    """A uniform grid of clusters, where k-means starts.

    ``label = round(linspace(0, a-1, H)) + a · round(linspace(0, b-1, W))``, halves to even, of a
    rows and b columns of clusters: (H, W), int64, in [0, a·b).
    """
    # float64: halves have to be exact to go to the even side on every device.
    rows = torch.linspace(0, grid[0] - 1, height, dtype=torch.float64, device=device).round()
    columns = torch.linspace(0, grid[1] - 1, width, dtype=torch.float64, device=device).round()
    return (rows[:, None] + grid[0] * columns).long()


@torch.no_grad()
@in_float32
def cluster_pixels(
    embedding: Tensor, valid: Tensor, grid: tuple[int, int], num_iterations: int
) -> Tensor:
    """Spherical k-means of each map's pixels, by embedding and location.

    The points are ``L2([L2(embedding), y - ½, x - ½])`` with y and x running over 0…1; the start is
    :func:`grid_labels`.

    Args:
        embedding: (B, C, H, W), of any norm.
        valid: (B, H, W), pixels to cluster; the others' label is -1.
        grid: Rows and columns of the start.
        num_iterations: Number of iterations, each an M step and an E step.
    """
    batch, _, height, width = embedding.shape
    if grid[0] * grid[1] == 1:
        return torch.where(valid, 0, -1)
    pixels = F.normalize(embedding.flatten(2).mT.contiguous(), dim=-1)
    rows, columns = (
        torch.linspace(-0.5, 0.5, size, dtype=pixels.dtype, device=pixels.device)
        for size in (height, width)
    )
    place = torch.stack(torch.meshgrid(rows, columns, indexing='ij'), dim=-1)
    points = torch.cat([pixels, place.flatten(0, 1).expand(batch, -1, -1)], dim=-1)
    start = grid_labels(grid, height, width, embedding.device).flatten()
    points = F.normalize(points, dim=-1).masked_fill_(~valid.flatten(1)[..., None], 0)
    labels = start.expand(batch, -1)
    num_clusters = grid[0] * grid[1]
    entries = CPU_CHUNK_ENTRIES if points.device.type == 'cpu' else GPU_CHUNK_ENTRIES
    parts = points.split(max(entries // (batch * num_clusters), 1024), dim=1)
    for _ in range(num_iterations):
        chunks = labels.split(parts[0].shape[1], dim=1)
        sums = points.new_zeros(batch, num_clusters, points.shape[2])
        for part, chunk in zip(parts, chunks, strict=True):
            sums += _cluster_sums(part, chunk, num_clusters)
        centroids = F.normalize(sums, dim=-1).mT
        labels = torch.cat([(part @ centroids).max(-1).indices for part in parts], dim=1)
    labels = torch.where(valid.flatten(1), labels, -1)
    return labels.view(batch, height, width)


def _cluster_sums(points: Tensor, labels: Tensor, num_clusters: int) -> Tensor:
    """Sums of the points (B, P, C) of each label (B, P): (B, K, C)."""
    batch, _, channels = points.shape
    if points.device.type == 'cpu':  # in order, so it is deterministic, and faster than a product
        place = labels + num_clusters * torch.arange(batch)[:, None]
        sums = points.new_zeros(batch * num_clusters, channels)
        sums.index_add_(0, place.flatten(), points.flatten(0, 1))
        return sums.view(batch, num_clusters, channels)
    # A GPU scatters in any order; a product is deterministic.
    member = labels[:, None] == torch.arange(num_clusters, device=labels.device)[:, None]
    return member.to(points) @ points


@torch.no_grad()
def cut_along_regions(
    clusters: Tensor, regions: Tensor, num_views: int, max_segments: int | None = None
) -> Segments:
    """Cut clusters along regions and number the pieces.

    A segment is what (view, cluster, region) have in common, numbered in that order within its
    image.

    Args:
        clusters: (N·V, H, W), int64, the views of an image next to each other.
        regions: (N·V, H, W), integers in [0, 2^17), or -1 for pixels to ignore.
        num_views: V.
        max_segments: M, the table's width; by default as the image with most segments on any rank
            needs, for which the device has to be asked.

    Returns:
        Segments, whose ``counts`` tell where an image has more than M; the surplus is in none.
    """
    keys = (clusters.long() * REGION_IDS + regions).flatten(1).unflatten(0, (-1, num_views))
    per_view = (keys.amax() + 1) * torch.arange(num_views, device=keys.device)
    valid = (regions >= 0).flatten(1).unflatten(0, (-1, num_views)).flatten(1)
    keys = torch.where(valid, (keys + per_view[:, None]).flatten(1), _INVALID)

    ordered, order = keys.sort(dim=1)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts &= ordered != _INVALID
    counts = starts.sum(1)
    pixel_segment = torch.empty_like(keys).scatter_(1, order, starts.cumsum(1) - 1)
    if max_segments is None:
        max_segments = max(int(all_reduce_max(counts.max())), 1)
    # One place more takes what belongs nowhere.
    pixel_segment = torch.where(valid & (pixel_segment < max_segments), pixel_segment, max_segments)

    def table(values: Tensor) -> Tensor:
        full = values.new_full((len(values), max_segments + 1), IGNORE)
        return full.scatter_(1, pixel_segment, values)[:, :max_segments]

    view = torch.arange(num_views, device=keys.device).repeat_interleave(clusters[0].numel())
    mask = torch.arange(max_segments, device=keys.device) < counts[:, None]
    return Segments(
        pixel_segment=torch.where(pixel_segment < max_segments, pixel_segment, IGNORE),
        mask=mask,
        view=table(view.expand(len(keys), -1)),
        region=table(regions.long().flatten(1).unflatten(0, (-1, num_views)).flatten(1)),
        counts=counts,
    )


def filled_places(mask: Tensor) -> int:
    """Number of first places of tables (N, M) after which none holds a segment, at least 1.

    All M but on a CPU: another device would be waited for.
    """
    width = mask.shape[1]
    if mask.device.type != 'cpu':
        return width
    return int((mask.any(0) * torch.arange(width, device=mask.device)).amax()) + 1


def sum_over_segments(values: Tensor, segments: Segments) -> Tensor:
    """Sums of pixels' values (N, V·P, C) over each segment: (N, M, C), zero where none."""
    images, width = segments.mask.shape
    # A row more per image takes the ignored pixels.
    place = torch.where(segments.pixel_segment < 0, width, segments.pixel_segment)
    place = place + (width + 1) * torch.arange(images, device=place.device)[:, None]
    sums = values.new_zeros(images * (width + 1), values.shape[-1])
    sums = sums.index_add(0, place.flatten(), values.flatten(0, 1))
    return sums.view(images, width + 1, -1)[:, :width]


def segment_prototypes(pixels: Tensor, segments: Segments) -> Tensor:
    """L2-normalised sums of unit pixel embeddings (N, V·P, C): (N, M, C), zero where none."""
    return F.normalize(sum_over_segments(pixels, segments), dim=-1)


def segment_means(values: Tensor, segments: Segments) -> Tensor:
    """Means of pixels' values (N, V·P, C) over each segment: (N, M, C), zero where none."""
    ones = values.new_ones(*values.shape[:2], 1)
    sizes = sum_over_segments(ones, segments)
    return sum_over_segments(values, segments) / sizes.clamp_min(1)
