"""Starting centroids for k-means, sampled from the points of all ranks.

Samples are exponential races: point i gets the key E_i / w_i with E_i ~ Exp(1), and the points of
the smallest keys are a sample without replacement, with probabilities proportional to the weights
(Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006). E_i is a function of
the point's number in the data set, so the sample does not depend on the split over ranks.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum, get_rank

#: Number of streams of random numbers that one start may use: more than clusters anyone asks for.
STREAMS_PER_START = 1 << 20


def global_point_index(points: Tensor, distributed: bool) -> Tensor:
    """Number this rank's points when all points are counted rank by rank.

    Args:
        points: Points (B, N, D).
        distributed: Whether other ranks hold points of the same problem.

    Returns:
        Numbers, int64 (N,).
    """
    index = torch.arange(points.shape[1], device=points.device)
    if not distributed:
        return index
    size = torch.tensor([points.shape[1]], device=points.device)
    return index + all_gather_stack(size)[: get_rank()].sum()


def race(
    points: Tensor,
    weights: Tensor | None,
    number: int,
    point_index: Tensor,
    seed: int,
    stream: int,
    mask: Tensor | None,
    distributed: bool,
) -> tuple[Tensor, Tensor]:
    """Sample points of all ranks without replacement, proportionally to their weights.

    Args:
        points: Points (B, N, D).
        weights: Weights (B, N), not negative; None: all alike. Points of weight 0 come last.
        number: Number of points to sample.
        point_index: Each point's number in the whole data set, int64 (N,).
        seed: Seed of the random numbers.
        stream: Stream of the random numbers, another one for each sample.
        mask: True for points that may be sampled, (B, N). None: all.
        distributed: Whether to sample from the points of all ranks.

    Returns:
        Points (B, number, D) in the order sampled, and their keys (B, number), infinite where
        there was no point left.
    """
    batch, num_points, dim = points.shape
    problem = torch.arange(batch, device=points.device)[:, None]
    # Problems of a batch are sampled independently. 2^40 points each are enough.
    keys = -counter_uniform(point_index + (problem << 40), seed, stream).log()
    if weights is not None:
        keys = keys / weights.double().clamp(min=1e-200)
    if mask is not None:
        keys = keys.masked_fill(~mask, math.inf)
    here = min(number, num_points)
    keys, where = keys.topk(here, dim=1, largest=False)
    drawn = points.gather(1, where[..., None].expand(-1, -1, dim))
    keys = F.pad(keys, (0, number - here), value=math.inf)
    drawn = F.pad(drawn, (0, 0, 0, number - here))
    if distributed:
        keys = all_gather_stack(keys).transpose(0, 1).flatten(1)
        drawn = all_gather_stack(drawn).transpose(0, 1).flatten(1, 2)
        keys, where = keys.topk(number, dim=1, largest=False)
        drawn = drawn.gather(1, where[..., None].expand(-1, -1, dim))
    return drawn, keys


def draw_sample(
    points: Tensor,
    mask: Tensor | None,
    point_index: Tensor,
    number: int,
    seed: int,
    start: int,
    distributed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the points of all ranks uniformly, to seed from instead of from all of them.

    Returns:
        Points (B, number, D) and a mask (B, number), both the same
        on all ranks, and numbers for the points, (number,).
    """
    stream = (start + 1) * STREAMS_PER_START - 1
    sample, keys = race(points, None, number, point_index, seed, stream, mask, distributed)
    return sample, keys.isfinite(), torch.arange(number, device=points.device)


def kmeans_plus_plus(
    points: Tensor,
    mask: Tensor | None,
    point_index: Tensor,
    num_clusters: int,
    seed: int,
    start: int,
    distributed: bool,
    chunk_size: int,
) -> Tensor:
    """Spread the starting centroids by greedy k-means++.

    Each next centroid is sampled with probability proportional to D², the squared distance to the
    nearest centroid so far. As in scikit-learn, 2 + ln K candidates are sampled each time and the
    one that leaves the least sum of D² is taken; unlike there, without replacement.

    Reference: Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding*, SODA 2007.

    Args:
        points: Points (B, N, D). Unit vectors for spherical k-means: D² is then 2 - 2 x·c.
        mask: True for valid points, (B, N). None: all.
        point_index: Each point's number in the whole data set, int64 (N,).
        num_clusters: Number K of clusters.
        seed: Seed of the random numbers.
        start: Number of the start, where there are several.
        distributed: Whether other ranks hold points of the same problem.
        chunk_size: Number of points compared at once.

    Returns:
        Centroids (B, K, D), the same on all ranks.
    """
    stream = start * STREAMS_PER_START
    num_candidates = 2 + int(math.log(num_clusters))
    valid = torch.ones(points.shape[:2], device=points.device) if mask is None else mask
    valid = valid.to(points.dtype)
    squared_norms = points.square().sum(-1)
    first, _ = race(points, None, 1, point_index, seed, stream, mask, distributed)
    centroids = [first]
    nearest = torch.full_like(squared_norms, math.inf)
    nearest, _ = _distances(points, squared_norms, first, nearest, valid, False, chunk_size)
    nearest = nearest[:, 0]
    for number in range(1, num_clusters):
        candidates, keys = race(
            points, nearest, num_candidates, point_index, seed, stream + number, mask, distributed
        )
        nearer, potential = _distances(
            points, squared_norms, candidates, nearest, valid, distributed, chunk_size
        )
        # Fewer points left than candidates asked for: the rest are not points.
        choice = potential.masked_fill(keys.isinf(), math.inf).argmin(1)[:, None, None]
        centroids.append(candidates.gather(1, choice.expand(-1, 1, points.shape[2])))
        nearest = nearer.gather(1, choice.expand(-1, 1, points.shape[1]))[:, 0]
    return torch.cat(centroids, 1)


def _distances(
    points: Tensor,
    squared_norms: Tensor,
    candidates: Tensor,
    nearest: Tensor,
    valid: Tensor,
    distributed: bool,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """D² if each candidate became a centroid: (B, L, N), and its sum over all ranks: (B, L)."""
    batch, num_points, _ = points.shape
    nearer = nearest.new_empty(batch, candidates.shape[1], num_points)
    potential = torch.zeros(candidates.shape[:2], dtype=torch.float64, device=points.device)
    offset = candidates.square().sum(-1)[..., None]
    for begin in range(0, num_points, chunk_size):
        here = slice(begin, begin + chunk_size)
        squared = torch.baddbmm(offset, candidates, points[:, here].mT, alpha=-2)
        squared += squared_norms[:, None, here]
        squared = torch.minimum(squared.clamp_(min=0), nearest[:, None, here])
        squared *= valid[:, None, here]
        nearer[:, :, here] = squared
        potential += squared.sum(-1)
    return nearer, all_reduce_sum(potential) if distributed else potential
