"""Lloyd's k-means on tensors: Euclidean or spherical, batched, masked, over one or many ranks.

An iteration is an M step (centroids from labels) and an E step (labels from centroids):

    Euclidean   M: c_k = mean of its members              E: argmin_k |x - c_k|²
                                                              = argmax_k x·c_k - |c_k|²/2
    cosine      M: c_k = L2(sum of its members), |x| = 1  E: argmax_k x·c_k

so the E step is one matrix product per chunk of points, and memory does not grow as N x K.

References: Lloyd, *Least squares quantization in PCM*, 1982; Dhillon and Modha, *Concept
decompositions for large sparse text data using clustering*, 2001 (spherical).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_reduce_sum
from mmcroc.numerics.kmeans_init import draw_sample, global_point_index, kmeans_plus_plus
from mmcroc.numerics.kmeans_lloyd import (
    default_chunk_size,
    e_step,
    m_step,
    relocate_empty_clusters,
    sum_by_label,
)

METRICS = ('euclidean', 'cosine')
EMPTY_CLUSTERS = ('relocate', 'zero')


@dataclass
class KMeansResult:
    """What :func:`kmeans` found. Batched input adds a leading B to every shape.

    Attributes:
        centroids: Centroids (K, D); unit vectors (or zero) for the cosine metric.
        labels: Nearest centroid of each point, int64 (N,); -1 where masked.
        inertia: Sum over all ranks' points of the squared distance to their centroid, for the
            cosine metric of 1 - x·c, float64 ().
        num_iterations: Number of iterations done (of the best restart; of a batch's slowest
            problem).
    """

    centroids: torch.Tensor
    labels: torch.Tensor
    inertia: torch.Tensor
    num_iterations: int


@torch.no_grad()
def kmeans(
    points: Tensor,
    num_clusters: int,
    *,
    metric: str = 'euclidean',
    max_init_points: int | None = None,
    initial_centroids: Tensor | None = None,
    initial_labels: Tensor | None = None,
    num_iterations: int = 100,
    tolerance: float | None = 0.0,
    num_restarts: int = 1,
    empty_clusters: str = 'relocate',
    mask: Tensor | None = None,
    point_index: Tensor | None = None,
    distributed: bool = False,
    seed: int = 0,
    chunk_size: int | None = None,
    on_start: Callable[[], object] = lambda: None,
) -> KMeansResult:
    """Cluster points with Lloyd's k-means.

    The start is greedy k-means++, or given centroids (the first thing done is an E step), or given
    labels (the first thing done is an M step). At the end the labels are those of the centroids.

    Args:
        points: Points (N, D), or (B, N, D) for B independent problems. Computed in float64 if they
            are, else in float32, also under autocast.
        num_clusters: Number K of clusters.
        metric: Distance: 'euclidean', or 'cosine' (points are L2-normalised first).
        max_init_points: Number of points (at least K), chosen at random, that k-means++ sees. It
            goes through them K times: with hundreds of clusters and a million points it takes
            longer than the iterations. Default: all.
        initial_centroids: Centroids (K, D) or (B, K, D) to start from instead.
        initial_labels: Labels (N,) or (B, N), in [0, K), to start from instead.
        num_iterations: Greatest number of iterations.
        tolerance: Stop when the squared movement of all centroids is at most this times the mean
            variance of a feature, as scikit-learn: 0 stops at the fixed point and changes no
            result. None does all iterations and never asks the device for a number (unless empty
            clusters are relocated).
        num_restarts: Number of independent starts; the least inertia wins, in each problem.
        empty_clusters: What becomes of empty clusters. 'relocate': they move to the points
            farthest from their centroid, as in scikit-learn; 'zero' (cosine only): they become
            the zero vector, which wins points whose other dot products are all negative, as HSG.
        mask: True for valid points, (N,) or (B, N). Default: all.
        point_index: Each point's number in the whole data set, int64 (N,), unique over ranks.
            Random starts depend on these and not on the split over ranks. Default: points counted
            rank by rank.
        distributed: Whether the points are this rank's share of *one* problem. Every rank must
            call, with the same settings, and gets the same centroids. False computes on this rank
            alone, which a loss inside data-parallel training wants.
        seed: Seed; equal seeds give equal results.
        chunk_size: Number of points of each problem taken at once. Default: scores that take a few
            MiB on a CPU, a few hundred on a GPU.
        on_start: Function that is called after every start.

    Returns:
        Centroids, labels, inertia, iterations.

    Raises:
        ValueError: Shapes that do not fit, unknown names, or fewer points than clusters.
    """
    given = {'initial_centroids': initial_centroids, 'initial_labels': initial_labels}
    _check_settings(num_clusters, metric, given, num_restarts, empty_clusters)
    _check_shapes(points, num_clusters, given, mask, point_index)
    batched = points.dim() == 3
    if not batched:
        points, mask = points[None], None if mask is None else mask[None]
    with torch.autocast(points.device.type, enabled=False):
        points, counts, mean, variance = _prepare(points, mask, metric, distributed)
        if initial_labels is None and initial_centroids is None and counts.min() < num_clusters:
            raise ValueError(
                f'num_clusters={num_clusters} is more than the {int(counts.min())} valid points: '
                'ask for fewer clusters or give more points'
            )
        chunk_size = chunk_size or default_chunk_size(points, num_clusters)
        if point_index is None:
            point_index = global_point_index(points, distributed)
        threshold = None if tolerance is None else tolerance * variance
        labels = None if initial_labels is None else initial_labels.reshape(points.shape[:2])
        best = None
        for restart in range(num_restarts):
            centroids = None
            if initial_centroids is not None:
                centroids = initial_centroids.to(points).expand(len(points), -1, -1)
                centroids = F.normalize(centroids, dim=-1) if mean is None else centroids - mean
            elif labels is None:
                sample = points, mask, point_index
                if max_init_points is not None:
                    number = max(max_init_points, num_clusters)
                    sample = draw_sample(*sample, number, seed, restart, distributed)
                # A sample is the same on all ranks already.
                united = distributed and max_init_points is None
                centroids = kmeans_plus_plus(
                    *sample, num_clusters, seed, restart, united, chunk_size
                )
            result = _lloyd(points, mask, num_clusters, centroids, labels, metric, num_iterations,
                            threshold, empty_clusters, distributed, chunk_size)  # fmt: skip
            best = result if best is None else _better(best, result)
            on_start()
    assert best is not None  # num_restarts is at least 1
    if mean is not None:
        best.centroids = best.centroids + mean
    if mask is not None:
        best.labels = best.labels.masked_fill(~mask, -1)
    if batched:
        return best
    return KMeansResult(best.centroids[0], best.labels[0], best.inertia[0], best.num_iterations)


def _lloyd(
    points: Tensor,
    mask: Tensor | None,
    num_clusters: int,
    centroids: Tensor | None,
    labels: Tensor | None,
    metric: str,
    num_iterations: int,
    threshold: Tensor | None,
    empty_clusters: str,
    distributed: bool,
    chunk_size: int,
) -> KMeansResult:
    """Lloyd's iterations from given centroids (B, K, D), or from given labels (B, N)."""
    scores: Tensor | None
    if centroids is None:
        assert labels is not None
        scores = None
        centroids = points.new_zeros(len(points), num_clusters, points.shape[2])
        sums, counts = sum_by_label(points, labels, num_clusters, mask, chunk_size, distributed)
    else:
        labels, scores, sums, counts = e_step(
            points, centroids, mask, metric, chunk_size, distributed
        )
    iteration = 0
    while iteration < num_iterations:
        iteration += 1
        previous = centroids
        # The same on all ranks: counts are sums over ranks.
        if scores is not None and empty_clusters == 'relocate' and bool((counts == 0).any()):
            assert labels is not None
            distances = _distances(points, scores, metric)
            sums, counts = relocate_empty_clusters(
                points, labels, distances, sums, counts, mask, distributed
            )
        centroids = m_step(sums, counts, previous, metric, empty_clusters)
        labels, scores, sums, counts = e_step(
            points, centroids, mask, metric, chunk_size, distributed
        )
        if threshold is not None:
            movement = (centroids - previous).double().square().sum((1, 2))
            if bool((movement <= threshold).all()):
                break
    assert labels is not None and scores is not None, 'labels alone need an iteration'
    distances = _distances(points, scores, metric)
    if mask is not None:
        distances = distances.masked_fill(~mask, 0)
    inertia = distances.sum(1, dtype=torch.float64)
    inertia = all_reduce_sum(inertia) if distributed else inertia
    return KMeansResult(centroids, labels, inertia, iteration)


def _distances(points: Tensor, scores: Tensor, metric: str) -> Tensor:
    """Distances (B, N) from the scores of the E step: squared Euclidean, or 1 - x·c."""
    if metric == 'cosine':
        return 1 - scores
    return (points.square().sum(-1) - 2 * scores).clamp(min=0)


def _better(best: KMeansResult, result: KMeansResult) -> KMeansResult:
    """Choose the result of the least inertia, problem by problem."""
    wins = result.inertia < best.inertia
    return KMeansResult(
        torch.where(wins[:, None, None], result.centroids, best.centroids),
        torch.where(wins[:, None], result.labels, best.labels),
        torch.where(wins, result.inertia, best.inertia),
        max(best.num_iterations, result.num_iterations),
    )


def _prepare(
    points: Tensor, mask: Tensor | None, metric: str, distributed: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Make points as the iterations want them: float, masked ones zero, unit vectors or centred.

    Centring changes no distance, and keeps |x|² - 2 x·c + |c|² from losing digits when the points
    lie far from the origin.

    Returns:
        Points (B, N, D), counts of valid ones (B,), the mean taken off (B, 1, D; None for
        the cosine metric), mean variance of a feature (B,).
    """
    points = points if points.dtype == torch.float64 else points.float()
    if metric == 'cosine':
        points = F.normalize(points, dim=-1)
    if mask is None:
        counts = torch.full((len(points),), points.shape[1], device=points.device)
    else:
        points = points.masked_fill(~mask[..., None], 0)
        counts = mask.sum(1)
    sums = points.sum(1, dtype=torch.float64)
    if distributed:
        sums, counts = all_reduce_sum(sums), all_reduce_sum(counts)
    mean = sums / counts.clamp(min=1)[:, None]
    if metric == 'euclidean':
        points = points - mean[:, None].to(points.dtype)
        if mask is not None:
            points = points.masked_fill(~mask[..., None], 0)
    squares = points.square().sum((1, 2), dtype=torch.float64)
    squares = (all_reduce_sum(squares) if distributed else squares) / counts.clamp(min=1)
    if metric == 'euclidean':
        return points, counts, mean[:, None].to(points.dtype), squares / points.shape[2]
    return points, counts, None, (squares - mean.square().sum(1)) / points.shape[2]


def _check_settings(
    num_clusters: int,
    metric: str,
    given: dict[str, Tensor | None],
    num_restarts: int,
    empty_clusters: str,
) -> None:
    """Refuse settings that are unknown or contradict each other; ``given``: starts by name."""
    if num_clusters < 1:
        raise ValueError(f'num_clusters must be at least 1, got {num_clusters}')
    if num_restarts < 1:
        raise ValueError(f'num_restarts must be at least 1, got {num_restarts}')
    for name, value, known in (
        ('metric', metric, METRICS),
        ('empty_clusters', empty_clusters, EMPTY_CLUSTERS),
    ):
        if value not in known:
            raise ValueError(f'{name} must be one of {known}, got {value!r}')
    if empty_clusters == 'zero' and metric != 'cosine':
        raise ValueError("empty_clusters='zero' needs metric='cosine': use 'relocate'")
    starts = [name for name, tensor in given.items() if tensor is not None]
    if len(starts) > 1:
        raise ValueError(f'give one of {" and ".join(starts)}, not both')
    if starts and num_restarts > 1:
        raise ValueError(
            f'num_restarts={num_restarts} from the same {starts[0]} would all be alike: use 1'
        )


def _check_shapes(
    points: Tensor,
    num_clusters: int,
    given: dict[str, Tensor | None],
    mask: Tensor | None,
    point_index: Tensor | None,
) -> None:
    """Refuse tensors that do not fit the points, with all shapes."""
    if points.dim() not in (2, 3):
        raise ValueError(f'points must be (N, D) or (B, N, D), got {tuple(points.shape)}')
    *batch, num_points, dim = points.shape
    for name, tensor, shape in (
        ('initial_centroids', given['initial_centroids'], (*batch, num_clusters, dim)),
        ('initial_labels', given['initial_labels'], (*batch, num_points)),
        ('mask', mask, (*batch, num_points)),
        ('point_index', point_index, (num_points,)),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f'{name} must be {shape} for points of {tuple(points.shape)} and '
                f'num_clusters={num_clusters}, got {tuple(tensor.shape)}'
            )
