"""k-means as ``faiss.Kmeans`` does it: random starts, trained on a sample of the points.

1. Of more than 256 · K points (``max_points_per_centroid``), that many are sampled once: the first
   ones of a random permutation seeded with ``seed``. No other point takes part before step 5.
2. Start r = 0, 1, ... has as centroids the first K of a permutation of the sample, seeded with
   ``seed`` + 1 + 15,486,557 · r.
3. Lloyd's iterations. An empty cluster takes half of another one: cluster j gives with probability
   (n_j - 1) / (n - K), where n_j is its number of points; both get its centroid, with coordinates
   times 1 ± 1/1024, the signs alternating from one coordinate to the next.
4. The start of the least objective wins: the sum over the sample of squared distances to the
   nearest centroid, as the last iteration found them, before it moved the centroids.
5. Every point is assigned to its nearest centroid.

The permutations come from the generator that faiss uses, so the same points in the same order, with
the same seed, give faiss's clusters but for rounding. The order is that of the whole data set,
whoever holds which point.

Reference: Johnson, Douze and Jégou, *Billion-scale similarity search with GPUs*, 2017; faiss's
``Clustering.cpp``. Iterations stop at the fixed point, where more of them change nothing.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from mmcroc.numerics.bounded_assignment import BoundedAssignment
from mmcroc.numerics.distributed import all_reduce_sum
from mmcroc.numerics.kmeans import KMeansResult
from mmcroc.numerics.kmeans_lloyd import Points

#: Points to a cluster that training sees at most.
MAX_POINTS_PER_CENTROID = 256
#: Distance between the seeds of two starts.
START_STEP = 15_486_557
#: Seed of the choice which clusters are split, the same in every iteration.
SPLIT_SEED = 1234
#: How far apart the halves of a split cluster begin, as a share of each coordinate.
SPLIT_EPSILON = 1 / 1024


def mersenne_twister(seed: int, number: int) -> np.ndarray:
    """The first outputs, uint32 (number,), of C++'s ``std::mt19937`` of a seed (of 32 bits)."""
    generator = np.random.RandomState(seed % 2**32)
    return generator.randint(0, 2**32, number, dtype=np.uint32)


def permutation_head(size: int, number: int, seed: int) -> Tensor:
    """The first entries, int64 (number,), of faiss's permutation of 0 ... size - 1 (rand_perm)."""
    moved: dict[int, int] = {}  # what lies at a place, where that is not the place's own number
    head = []
    for place, drawn in enumerate(mersenne_twister(seed, number).tolist()):
        other = place + drawn % (size - place)
        head.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return torch.tensor(head, dtype=torch.long)


@torch.no_grad()
def faiss_kmeans(
    points: Tensor,
    num_clusters: int,
    *,
    places: Tensor | None = None,
    num_iterations: int = 100,
    num_restarts: int = 5,
    seed: int = 0,
    distributed: bool = False,
    on_start: Callable[[], object] = lambda: None,
) -> KMeansResult:
    """Cluster points as ``faiss.Kmeans(D, K, niter, nredo, seed=seed)`` does, and assign them all.

    Args:
        points: Points of this rank (N, D); computed in float32.
        num_clusters: Number K of clusters.
        places: Each point's place, int64 (N,): 0, 1, ... in the whole data set. Default: as
            they come, which takes a single rank.
        num_iterations: Greatest number of iterations of a start.
        num_restarts: Number of independent starts.
        seed: Seed of sample and starts.
        distributed: Whether the points are this rank's share of one problem. Every rank must call,
            with the same settings, and gets the same centroids: the sample is gathered on every
            rank.
        on_start: Function that is called after every start.

    Returns:
        Centroids (K, D), labels (N,) of this rank's points, the best start's objective (over the
        sample) as ``inertia``, and its iterations.

    Raises:
        ValueError: No more points than clusters.
    """
    points = points.float()
    if places is None:
        places = torch.arange(len(points), device=points.device)
    count = torch.tensor(len(points))
    total = int(all_reduce_sum(count) if distributed else count)
    if total <= num_clusters:
        raise ValueError(
            f'num_clusters={num_clusters} from {total} points: give more points than clusters'
        )
    with torch.autocast(points.device.type, enabled=False):
        sample = _sample(points, places, total, num_clusters, seed, distributed)
        results = []
        for start in range(num_restarts):
            first = permutation_head(len(sample), num_clusters, seed + 1 + start * START_STEP)
            centroids = sample[first.to(sample.device)]
            results.append(train_from(sample, centroids, num_iterations))
            on_start()
        best = min(results, key=lambda result: float(result.inertia))  # the first of equals
        best.labels = Points(points[None], num_clusters).assign(best.centroids[None])[0][0]
    return best


def _sample(
    points: Tensor, places: Tensor, total: int, num_clusters: int, seed: int, distributed: bool
) -> Tensor:
    """Points that training sees, in order, on every rank: (S, D)."""
    size = min(total, MAX_POINTS_PER_CENTROID * num_clusters)
    # Where in the sample a point comes; -1: nowhere.
    rank_in_sample = torch.full((total,), -1)
    chosen = permutation_head(total, size, seed) if size < total else torch.arange(total)
    rank_in_sample[chosen] = torch.arange(size)
    rank_in_sample = rank_in_sample.to(points.device)[places]
    here = rank_in_sample >= 0
    sample = points.new_zeros(size, points.shape[1])
    sample[rank_in_sample[here]] = points[here]
    return all_reduce_sum(sample) if distributed else sample


def train_from(sample: Tensor, centroids: Tensor, num_iterations: int) -> KMeansResult:
    """Lloyd's iterations on points (S, D) from centroids (K, D), S > K, with faiss's splitting.

    Returns:
        The last centroids; labels (S,) and objective as the last iteration found them, before it
        moved the centroids.
    """
    found, done = BoundedAssignment(sample, len(centroids)), 0
    while done < num_iterations:
        done += 1
        found.assign(centroids)
        previous, mean = centroids, found.sums / found.counts.clamp(min=1)[:, None]
        centroids = split_clusters(mean.to(centroids), found.counts.cpu(), len(sample))
        if torch.equal(centroids, previous):
            break
    distances = Points(sample[None], len(centroids)).distances(previous[None], found.labels[None])
    return KMeansResult(centroids, found.labels, distances.sum(dtype=torch.float64), done)


def split_clusters(centroids: Tensor, counts: Tensor, num_points: int) -> Tensor:
    """Give every empty cluster half of another one, step 3 (``split_clusters`` of faiss).

    Args:
        centroids: Centroids (K, D); those of empty clusters are not read.
        counts: Points of each cluster (K,), in main memory.
        num_points: Number n of points, more than K.
    """
    sizes = counts.float().numpy().copy()
    num_clusters = len(sizes)
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return centroids
    centroids = centroids.clone()
    sign = SPLIT_EPSILON * (1 - 2 * (torch.arange(centroids.shape[1]) % 2))
    sign = sign.to(centroids)
    draws = _unit_numbers(SPLIT_SEED)
    for cluster in empty:
        for attempt in range(10 * num_clusters):
            donor = attempt % num_clusters
            share = (float(sizes[donor]) - 1) / (num_points - num_clusters)
            if next(draws) < np.float32(share):
                break
        else:
            donor = int(sizes.argmax())
        half = centroids[donor]
        centroids[cluster], centroids[donor] = half * (1 + sign), half * (1 - sign)
        sizes[cluster] = sizes[donor] / 2
        sizes[donor] -= sizes[cluster]
    return centroids


def _unit_numbers(seed: int) -> Iterator[np.float32]:
    """Numbers in [0, 1], float32, without end."""
    generator = np.random.RandomState(seed)
    while True:
        for bits in generator.randint(0, 2**32, 256, dtype=np.uint32):
            yield np.float32(bits) / np.float32(2**32 - 1)
