"""Starting centroids for k-means, drawn from the points of all ranks.

Draws are exponential races: point i gets the key E_i / w_i with E_i ~ Exp(1), and the points of
the smallest keys are a sample without replacement, with probabilities proportional to the weights
(Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006). E_i is a function of
the point's number in the data set, so the sample does not depend on the split over ranks.
"""

import math

import torch
from torch.nn import functional as F

from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum, get_rank

#: Streams of random numbers that one start may use: more than clusters anyone asks for.
STREAMS_PER_START = 1 << 20


def global_point_index(points, distributed):
    """Numbers of this rank's points when all points are counted rank by rank.

    Args:
        points (Tensor): (B, N, D).
        distributed (bool): Whether other ranks hold points of the same problem.

    Returns:
        Tensor: (N,), int64.
    """
    first = 0
    if distributed:
        size = torch.tensor([points.shape[1]], device=points.device)
        first = all_gather_stack(size)[: get_rank()].sum()
    return torch.arange(points.shape[1], device=points.device) + first


def race(points, weights, number, point_index, seed, stream, mask, distributed):
    """Draw points of all ranks without replacement, proportionally to their weights.

    Args:
        points (Tensor): (B, N, D).
        weights (Tensor | None): (B, N), not negative; None: all alike. Points of weight 0 are
            drawn last.
        number (int): How many.
        point_index (Tensor): (N,), int64.
        seed (int): Seed.
        stream (int): One draw, one stream.
        mask (Tensor | None): (B, N), True for points that may be drawn.
        distributed (bool): Draw from the points of all ranks.

    Returns:
        tuple[Tensor, Tensor]: points (B, number, D) in the order drawn, and their keys
        (B, number), infinite where there was no point left to draw.
    """
    batch, num_points, dim = points.shape
    problem = torch.arange(batch, device=points.device)[:, None]
    # Problems of a batch draw independently. 2^40 points each are enough.
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


def draw_sample(points, mask, point_index, number, seed, start, distributed):
    """A uniform sample of the points of all ranks, to seed from instead of from all of them.

    Returns:
        tuple[Tensor, Tensor, Tensor]: points (B, number, D) and a mask (B, number), both the same
        on all ranks, and numbers for the points, (number,).
    """
    stream = (start + 1) * STREAMS_PER_START - 1
    sample, keys = race(points, None, number, point_index, seed, stream, mask, distributed)
    return sample, keys.isfinite(), torch.arange(number, device=points.device)


def random_points(points, mask, point_index, num_clusters, seed, start, distributed, chunk_size):
    """K distinct points, all equally likely. Arguments and result: :func:`kmeans_plus_plus`."""
    stream = start * STREAMS_PER_START
    return race(points, None, num_clusters, point_index, seed, stream, mask, distributed)[0]


def kmeans_plus_plus(points, mask, point_index, num_clusters, seed, start, distributed, chunk_size):
    """Greedy k-means++: spread the starting centroids.

    Each next centroid is drawn with probability proportional to D², the squared distance to the
    nearest centroid so far. As in scikit-learn, 2 + ln K candidates are drawn each time and the one
    that leaves the least sum of D² is taken; unlike there, without replacement.

    Reference: Arthur and Vassilvitskii, *k-means++: the advantages of careful seeding*, SODA 2007.

    Args:
        points (Tensor): (B, N, D). Unit vectors for spherical k-means: D² is then 2 - 2 x·c.
        mask (Tensor | None): (B, N), True for valid points.
        point_index (Tensor): (N,), int64, each point's number in the whole data set.
        num_clusters (int): K.
        seed (int): Seed.
        start (int): Which of several starts.
        distributed (bool): Whether other ranks hold points of the same problem.
        chunk_size (int): Points compared at once.

    Returns:
        Tensor: (B, K, D), the same on all ranks.
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


def _distances(points, squared_norms, candidates, nearest, valid, distributed, chunk_size):
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
