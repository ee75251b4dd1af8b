"""Lloyd's k-means on tensors: Euclidean or spherical, batched, masked, over one or many ranks.

An iteration is an M step (centroids from labels) and an E step (labels from centroids):

    Euclidean   M: c_k = mean of its members              E: argmin_k |x - c_k|²
                                                              = argmax_k x·c_k - |c_k|²/2
    cosine      M: c_k = L2(sum of its members), |x| = 1  E: argmax_k x·c_k

so the E step is one matrix product per chunk of points, and memory does not grow as N x K.

References: Lloyd, *Least squares quantization in PCM*, 1982; Dhillon and Modha, *Concept
decompositions for large sparse text data using clustering*, 2001 (spherical).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.kmeans_lloyd import Points, Start, global_point_index

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
        chunk_size: Number of points of each problem taken at once. Default: as suits the device.
        on_start: Function that is called after every start.

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
        points = points if points.dtype == torch.float64 else points.float()
        problem = Points(points, num_clusters, mask, metric, distributed, chunk_size or 0)
        counts, mean, variance = _prepare(problem)
        points = problem.points
        if initial_labels is None and initial_centroids is None and counts.min() < num_clusters:
            raise ValueError(
                f'num_clusters={num_clusters} is more than the {int(counts.min())} valid points: '
                'ask for fewer clusters or give more points'
            )
        if point_index is None:
            point_index = global_point_index(points, distributed)
        threshold = None if tolerance is None else tolerance * variance
        labels = None if initial_labels is None else initial_labels.reshape(points.shape[:2])
        results = []
        for restart in range(num_restarts):
            centroids = None
            if initial_centroids is not None:
                centroids = initial_centroids.to(points).expand(len(points), -1, -1)
                centroids = F.normalize(centroids, dim=-1) if mean is None else centroids - mean
            elif labels is None:
                start = Start(problem, point_index, seed, restart)
                if max_init_points is not None:
                    start = start.from_sample(max(max_init_points, num_clusters))
                centroids = start.centroids()
            results.append(
                _lloyd(problem, centroids, labels, num_iterations, threshold, empty_clusters)
            )
            on_start()
    best = functools.reduce(_better, results)
    if mean is not None:
        best.centroids = best.centroids + mean
    if mask is not None:
        best.labels = best.labels.masked_fill(~mask, -1)
    if batched:
        return best
    return KMeansResult(best.centroids[0], best.labels[0], best.inertia[0], best.num_iterations)


def _lloyd(
    problem: Points,
    centroids: Tensor | None,
    labels: Tensor | None,
    num_iterations: int,
    threshold: Tensor | None,
    empty_clusters: str,
) -> KMeansResult:
    """Lloyd's iterations from given centroids (B, K, D), or from given labels (B, N)."""
    points, scores = problem.points, None
    if centroids is None:
        assert labels is not None
        centroids = points.new_zeros(len(points), problem.num_clusters, points.shape[2])
        sums, counts = problem.sums_of(labels)
    else:
        labels, scores, sums, counts = problem.assign(centroids)
    iteration = 0
    while iteration < num_iterations:
        iteration += 1
        previous = centroids
        # The same on all ranks: counts are sums over ranks.
        if scores is not None and empty_clusters == 'relocate' and bool((counts == 0).any()):
            distances = problem.distances(scores)
            sums, counts = problem.relocate_empty_clusters(labels, distances, sums, counts)
        if problem.metric == 'cosine':
            centroids = F.normalize(sums, dim=-1)
        else:
            centroids = sums / counts.clamp(min=1)[..., None]
        if empty_clusters != 'zero':
            centroids = torch.where((counts > 0)[..., None], centroids, previous.double())
        centroids = centroids.to(points.dtype)
        labels, scores, sums, counts = problem.assign(centroids)
        if threshold is not None:
            movement = (centroids - previous).double().square().sum((1, 2))
            if bool((movement <= threshold).all()):
                break
    assert labels is not None and scores is not None, 'labels alone need an iteration'
    inertia = problem.distances(scores).sum(1, dtype=torch.float64)
    return KMeansResult(centroids, labels, problem.over_ranks(inertia), iteration)


def _better(best: KMeansResult, result: KMeansResult) -> KMeansResult:
    """Choose the result of the least inertia, problem by problem."""
    wins = result.inertia < best.inertia
    return KMeansResult(
        torch.where(wins[:, None, None], result.centroids, best.centroids),
        torch.where(wins[:, None], result.labels, best.labels),
        torch.where(wins, result.inertia, best.inertia),
        max(best.num_iterations, result.num_iterations),
    )


def _prepare(problem: Points) -> tuple[Tensor, Tensor | None, Tensor]:
    """Make the points as the iterations want them: masked ones zero, unit vectors or centred.

    Centring changes no distance, and keeps |x|² - 2 x·c + |c|² from losing digits when the points
    lie far from the origin.

    Returns:
        Counts of valid points (B,), the mean taken off (B, 1, D; None for the cosine metric), mean
        variance of a feature (B,).
    """
    points, mask = problem.points, problem.mask
    euclidean = problem.metric == 'euclidean'
    if not euclidean:
        points = F.normalize(points, dim=-1)
    if mask is None:
        counts = torch.full((len(points),), points.shape[1], device=points.device)
    else:
        points = points.masked_fill(~mask[..., None], 0)
        counts = mask.sum(1)
    counts = problem.over_ranks(counts)
    divisor = counts.clamp(min=1)[:, None]
    mean = problem.over_ranks(points.sum(1, dtype=torch.float64)) / divisor
    offset = mean[:, None].to(points.dtype) if euclidean else None
    if offset is not None:
        points = points - offset
        if mask is not None:
            points = points.masked_fill(~mask[..., None], 0)
    problem.points = points
    squares = problem.over_ranks(points.square().sum((1, 2), dtype=torch.float64)) / divisor[:, 0]
    squares = squares if euclidean else squares - mean.square().sum(1)
    return counts, offset, squares / points.shape[2]


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
