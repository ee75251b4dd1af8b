"""Lloyd's k-means on tensors: Euclidean or spherical, batched, over one or many ranks.

An iteration is an M step (centroids from labels) and an E step (labels from centroids):

    Euclidean   M: c_k = mean of its members              E: argmin_k |x - c_k|²
                                                              = argmax_k x·c_k - |c_k|²/2
    cosine      M: c_k = L2(sum of its members), |x| = 1  E: argmax_k x·c_k

so the E step is one matrix product per chunk of points, and memory does not grow as N x K. Of one
Euclidean problem it spares the points whose label cannot change (``bounded_assignment``).

References: Lloyd, *Least squares quantization in PCM*, 1982; Dhillon and Modha, *Concept
decompositions for large sparse text data using clustering*, 2001 (spherical).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.bounded_assignment import BoundedAssignment
from mmcroc.numerics.kmeans_lloyd import Points, Start, global_point_index

METRICS = ('euclidean', 'cosine')


@dataclass
class KMeansResult:
    """What :func:`kmeans` found. Batched input adds a leading B to every shape.

    Attributes:
        centroids: Centroids (K, D); unit vectors for the cosine metric.
        labels: Nearest centroid of each point, int64 (N,).
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
    num_iterations: int = 100,
    num_restarts: int = 1,
    point_index: Tensor | None = None,
    distributed: bool = False,
    seed: int = 0,
    chunk_size: int | None = None,
    on_start: Callable[[], object] = lambda: None,
) -> KMeansResult:
    """Cluster points with Lloyd's k-means.

    The start is greedy k-means++, or given centroids. Empty clusters move to the points farthest
    from their centroid, as in scikit-learn. Iterations stop at the fixed point, where more of them
    change nothing. At the end the labels are those of the centroids.

    Args:
        points: Points (N, D), or (B, N, D) for B independent problems. Computed in float64 if they
            are, else in float32, also under autocast.
        num_clusters: Number K of clusters.
        metric: Distance: 'euclidean', or 'cosine' (points are L2-normalised first).
        max_init_points: Number of points (at least K), chosen at random, that k-means++ sees. It
            goes through them K times: with hundreds of clusters and a million points it takes
            longer than the iterations. Default: all.
        initial_centroids: Centroids (K, D) or (B, K, D) to start from instead.
        num_iterations: Greatest number of iterations.
        num_restarts: Number of independent starts; the least inertia wins, in each problem.
        point_index: Each point's number in the whole data set, int64 (N,), unique over ranks.
            Random starts depend on these and not on the split over ranks. Default: points counted
            rank by rank.
        distributed: Whether the points are this rank's share of *one* problem. Every rank must
            call, with the same settings, and gets the same centroids. False computes on this rank
            alone.
        seed: Seed; equal seeds give equal results.
        chunk_size: Number of points of each problem taken at once. Default: as suits the device.
        on_start: Function that is called after every start.

    Raises:
        ValueError: Shapes that do not fit, unknown names, or fewer points than clusters.
    """
    _check_settings(num_clusters, metric, initial_centroids, num_restarts)
    _check_shapes(points, num_clusters, initial_centroids, point_index)
    batched = points.dim() == 3
    with torch.autocast(points.device.type, enabled=False):
        points = points if points.dtype == torch.float64 else points.float()
        problem = Points(
            points if batched else points[None], num_clusters, metric, distributed, chunk_size or 0
        )
        count = torch.tensor(problem.points.shape[1])
        total = int(problem.over_ranks(count))
        if total < num_clusters:
            raise ValueError(
                f'num_clusters={num_clusters} is more than the {total} points: ask for fewer '
                'clusters or give more points'
            )
        mean = _prepare(problem, total)
        points = problem.points
        if point_index is None:
            point_index = global_point_index(points, distributed)
        results = []
        for restart in range(num_restarts):
            if initial_centroids is not None:
                centroids = initial_centroids.to(points).expand(len(points), -1, -1)
                centroids = F.normalize(centroids, dim=-1) if mean is None else centroids - mean
            else:
                start = Start(problem, point_index, seed, restart)
                if max_init_points is not None:
                    start = start.from_sample(min(max(max_init_points, num_clusters), total))
                centroids = start.centroids()
            results.append(_lloyd(problem, centroids, num_iterations))
            on_start()
    best = functools.reduce(_better, results)
    if mean is not None:
        best.centroids = best.centroids + mean
    if batched:
        return best
    return KMeansResult(best.centroids[0], best.labels[0], best.inertia[0], best.num_iterations)


def _lloyd(problem: Points, centroids: Tensor, num_iterations: int) -> KMeansResult:
    """Lloyd's iterations from centroids (B, K, D)."""
    assign = _assignment(problem)
    labels, sums, counts = assign(centroids)
    iteration = 0
    while iteration < num_iterations:
        iteration += 1
        previous = centroids
        # The same on all ranks: counts are sums over ranks.
        if bool((counts == 0).any()):
            distances = problem.distances(centroids, labels)
            sums, counts = problem.relocate_empty_clusters(labels, distances, sums, counts)
        if problem.metric == 'cosine':
            centroids = F.normalize(sums, dim=-1)
        else:
            centroids = sums / counts.clamp(min=1)[..., None]
        centroids = torch.where((counts > 0)[..., None], centroids, previous.double())
        centroids = centroids.to(previous.dtype)
        labels, sums, counts = assign(centroids)
        if torch.equal(centroids, previous):
            break
    inertia = problem.distances(centroids, labels).sum(1, dtype=torch.float64)
    return KMeansResult(centroids, labels, problem.over_ranks(inertia), iteration)


def _assignment(problem: Points) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """The E step of a start: centroids to labels, sums and counts, as :meth:`Points.assign`.

    One Euclidean problem keeps bounds; of many small ones all points are gone through at once.
    """
    if problem.metric != 'euclidean' or len(problem.points) != 1:
        return problem.assign
    found = BoundedAssignment(problem.points[0], problem.num_clusters, problem.chunk_size)

    def assign(centroids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found.assign(centroids[0])
        sums = torch.cat([found.sums, found.counts[:, None]], 1)
        sums = problem.over_ranks(sums)[None]
        return found.labels[None], sums[..., :-1], sums[..., -1]

    return assign


def _better(best: KMeansResult, result: KMeansResult) -> KMeansResult:
    """Choose the result of the least inertia, problem by problem."""
    wins = result.inertia < best.inertia
    return KMeansResult(
        torch.where(wins[:, None, None], result.centroids, best.centroids),
        torch.where(wins[:, None], result.labels, best.labels),
        torch.where(wins, result.inertia, best.inertia),
        max(best.num_iterations, result.num_iterations),
    )


def _prepare(problem: Points, total: int) -> Tensor | None:
    """Make the points as the iterations want them: unit vectors, or centred.

    Centring changes no distance, and keeps |x|² - 2 x·c + |c|² from losing digits when the points
    lie far from the origin.

    Args:
        problem: Points of this rank, of ``total`` over all ranks.
        total: Number of points of each problem.

    Returns:
        The mean taken off (B, 1, D); None for the cosine metric.
    """
    if problem.metric == 'cosine':
        problem.points = F.normalize(problem.points, dim=-1)
        return None
    mean = problem.over_ranks(problem.points.sum(1, dtype=torch.float64)) / total
    offset = mean[:, None].to(problem.points.dtype)
    problem.points = problem.points - offset
    return offset


def _check_settings(
    num_clusters: int, metric: str, initial_centroids: Tensor | None, num_restarts: int
) -> None:
    """Refuse settings that are unknown or contradict each other."""
    if num_clusters < 1:
        raise ValueError(f'num_clusters must be at least 1, got {num_clusters}')
    if num_restarts < 1:
        raise ValueError(f'num_restarts must be at least 1, got {num_restarts}')
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    if initial_centroids is not None and num_restarts > 1:
        raise ValueError(
            f'num_restarts={num_restarts} from the same initial_centroids would all be alike: use 1'
        )


def _check_shapes(
    points: Tensor,
    num_clusters: int,
    initial_centroids: Tensor | None,
    point_index: Tensor | None,
) -> None:
    """Refuse tensors that do not fit the points, with all shapes."""
    if points.dim() not in (2, 3):
        raise ValueError(f'points must be (N, D) or (B, N, D), got {tuple(points.shape)}')
    *batch, num_points, dim = points.shape
    for name, tensor, shape in (
        ('initial_centroids', initial_centroids, (*batch, num_clusters, dim)),
        ('point_index', point_index, (num_points,)),
    ):
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f'{name} must be {shape} for points of {tuple(points.shape)} and '
                f'num_clusters={num_clusters}, got {tuple(tensor.shape)}'
            )
