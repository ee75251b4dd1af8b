"""CrOC's online clustering of two views at once: join, locate, split.

Stegmüller, Lebailly et al., *CrOC: Cross-View Online Clustering for Dense Visual Representation
Learning*, CVPR 2023. Every image and attention head is one clustering problem over the tokens of
both views; all problems of a batch run side by side. The only loop is over the levels of the
hierarchy (K from the number of seeds down to 2).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.croc.assignments import ClusterAssignments, split
from mmcroc.numerics.precision import in_float32


def sinkhorn(
    cost: Tensor,
    row_marginal: Tensor,
    column_marginal: Tensor,
    regularisation: float = 20.0,
    num_iterations: int = 5,
) -> Tensor:
    """Transport plan between tokens and clusters.

    ``Q = exp(-λ M)``, then rounds of scaling the rows to their marginal and the columns to theirs
    (Cuturi, *Sinkhorn Distances*, NeurIPS 2013): ``Q = diag(u) exp(-λ M) diag(v)``, of which a
    round changes u and v alone. The column marginal holds exactly after a round, the row marginal
    in the limit.

    Args:
        cost: M, (..., N, K), of order 1; float32 or wider (exp(-20) is 0 in half precision).
        row_marginal: (..., N), sums to 1.
        column_marginal: (..., K), sums to 1.
        regularisation: λ, the inverse of the entropy's weight.
        num_iterations: Number of rounds, at least 1.

    Returns:
        Plan Q, (..., N, K). An entry that is 0/0 (a row or column that underflowed) is 1e-8.
    """
    kernel = (cost * -regularisation).exp_()
    rows, columns = row_marginal.unsqueeze(-1), column_marginal.unsqueeze(-2)
    u, v = torch.ones_like(rows), torch.ones_like(columns)
    for _ in range(num_iterations):  # sums, not matrix products: the compiler fuses them
        u = rows / (kernel * v).sum(dim=-1, keepdim=True)
        v = columns / (kernel * u).sum(dim=-2, keepdim=True)
    return kernel.mul_(u).mul_(v).nan_to_num_(1e-8)


def patch_positions(view_boxes: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Positions of a view's patch centres, in pixels of the source image.

    A patch column c of g columns lies at ``x = x0 + w (c + 1/2) / g - 1/2``, columns read in
    reverse if the view was flipped; rows likewise, never flipped. Against warping a map of
    coordinates through the same crop and resize this is exact to less than 0.01 px.

    Args:
        view_boxes: (..., 5), crop box x0, y0, w, h in source pixels and the flip bit.
        grid_size: Numbers of rows and columns of patches.

    Returns:
        (..., rows * columns, 2), x and y, patches row by row, float32.

    Raises:
        ValueError: ``view_boxes`` does not end in 5 numbers.
    """
    if view_boxes.shape[-1] != 5:
        raise ValueError(
            f'view_boxes must end in 5 numbers (x0, y0, w, h, flip), got {tuple(view_boxes.shape)}'
        )
    rows, columns = grid_size
    x0, y0, w, h, flip = view_boxes.float().unsqueeze(-1).unbind(-2)  # each (..., 1)
    across = (torch.arange(columns, device=view_boxes.device) + 0.5) / columns
    down = (torch.arange(rows, device=view_boxes.device) + 0.5) / rows
    x = x0 + w * torch.where(flip > 0.5, 1 - across, across) - 0.5
    y = y0 + h * down - 0.5
    grid = torch.broadcast_tensors(x.unsqueeze(-2), y.unsqueeze(-1))  # each (..., rows, columns)
    return torch.stack(grid, dim=-1).flatten(-3, -2)


#: Keeps problems without extent (one patch, equal tokens) from dividing 0 by 0.
TINY = 1e-12


def saliency(tokens: Tensor, cls_tokens: Tensor) -> Tensor:
    """Cosine between each token's feature and the [CLS] feature of its own view and head.

    Args:
        tokens: (2, B, h, n, d), unit-norm features of the patch tokens.
        cls_tokens: (2, B, h, d), unit-norm features of [CLS].

    Returns:
        (B, h, 2n), view 1's tokens first.
    """
    cosine = tokens @ cls_tokens.unsqueeze(-1)
    return torch.cat(tuple(cosine.squeeze(-1)), dim=-1)


def sample_seeds(probability: Tensor, num_seeds: int) -> Tensor:
    """Sample tokens without replacement with the given probabilities.

    An exponential race: the first ``num_seeds`` of ``t_i ~ Exp(p_i)`` are distributed as draws
    one after another without replacement. Unlike ``torch.multinomial`` it never asks the device
    whether the probabilities are valid.

    Args:
        probability: (..., N), probabilities of the tokens.
        num_seeds: Number of tokens to sample, at most N.

    Returns:
        (..., num_seeds), token indices, in the order sampled.
    """
    race = probability / torch.empty_like(probability).exponential_()
    return race.topk(num_seeds, dim=-1).indices


@torch.no_grad()
@in_float32
@torch.compiler.disable(recursive=False)  # else the compiler unrolls all levels
def online_clustering(
    tokens: Tensor,
    cls_tokens: Tensor,
    positions: Tensor,
    *,
    num_start_clusters: int = 5,
    max_clusters: int = 4,
    position_weight: float = 4.0,
    sinkhorn_reg: float = 20.0,
    sinkhorn_iterations: int = 5,
    token_temperature: float = 2.0,
    cluster_temperature: float = 2.0,
    uniform_marginals: bool = False,
    cost_scaling: str = 'batch',
    seeds: Tensor | None = None,
) -> ClusterAssignments:
    """Cluster the tokens of both views of each image jointly.

    Runs without gradient, in float32 whatever autocast says, and never waits for the device. The
    compiler makes one program for all levels but the first and the last two.

    Args:
        tokens: (2, B, h, n, d), features (the last block's keys, say) of views 1 and 2.
        cls_tokens: (2, B, h, d), the same feature of [CLS].
        positions: (2, B, n, 2), token positions in source-image pixels.
        num_start_clusters: K₀, the number of seeds and of clusters at the first level.
        max_clusters: K_max, the greatest number of clusters that can be chosen.
        position_weight: λ_pos of the cost ``M = -similarity + λ_pos · distance``.
        sinkhorn_reg: λ of ``exp(-λ M)``.
        sinkhorn_iterations: Number of Sinkhorn's rounds.
        token_temperature: T_r of the token marginal ``softmax(r / T_r)``, by which seeds are
            sampled too.
        cluster_temperature: T_c of the first cluster marginal.
        uniform_marginals: Whether marginals start as 1/N and 1/K; seeds are then equally probable.
        cost_scaling: ``'batch'`` (as released) scales the cost to [0, 1] by its extremes over all
            problems of the batch, ``'problem'`` by each problem's own.
        seeds: (B, h, K₀), seed tokens instead of sampled ones; view 1's tokens come first.

    Returns:
        The assignments of both views.
    """
    problems, clusters, best = _start(
        F.normalize(tokens, dim=-1),
        F.normalize(cls_tokens, dim=-1),
        positions,
        num_start_clusters,
        max_clusters,
        token_temperature,
        cluster_temperature,
        uniform_marginals,
        seeds,
    )
    for _ in range(num_start_clusters, 1, -1):
        clusters = _level(
            problems,
            clusters,
            best,
            position_weight=position_weight,
            sinkhorn_reg=sinkhorn_reg,
            sinkhorn_iterations=sinkhorn_iterations,
            cost_scaling=cost_scaling,
        )
    return split(best.plan, best.num_clusters)


class Problems(NamedTuple):
    """What is to be clustered: h problems for each of B images, of N = 2n tokens, view 1's first.

    Attributes:
        features: (B, h, N, d), unit norm.
        positions: (B, h, N, 2), in memory x and y apart.
        marginal: (B, h, N), the tokens' shares of the plan.
        described: (B, h, N, d + 4), what clusters have means of: the three, and 1 to count by.
    """

    features: Tensor
    positions: Tensor
    marginal: Tensor
    described: Tensor


class Clusters(NamedTuple):
    """The K clusters of a level.

    Attributes:
        centroids: (B, h, K, d).
        positions: (B, h, K, 2).
        marginal: (B, h, K), the clusters' shares of the plan.
    """

    centroids: Tensor
    positions: Tensor
    marginal: Tensor


class Best(NamedTuple):
    """The cheapest level so far of each problem, changed in place by every level.

    Attributes:
        cost: (B, h).
        plan: (B, h, N, K_max), any values past a problem's number of clusters.
        num_clusters: (B, h), int64.
    """

    cost: Tensor
    plan: Tensor
    num_clusters: Tensor


def _start(
    tokens: Tensor,
    cls_tokens: Tensor,
    positions: Tensor,
    num_seeds: int,
    max_clusters: int,
    token_temperature: float,
    cluster_temperature: float,
    uniform_marginals: bool,
    seeds: Tensor | None,
) -> tuple[Problems, Clusters, Best]:
    """Pose the problems, and take seeds for the first level's clusters."""
    scores = saliency(tokens, cls_tokens)  # r, (B, h, N)
    if uniform_marginals:
        scores = torch.zeros_like(scores)
    token_marginal = torch.softmax(scores / token_temperature, dim=-1)
    if seeds is None:
        seeds = sample_seeds(token_marginal, num_seeds)
    cluster_marginal = torch.softmax(scores.gather(-1, seeds) / cluster_temperature, dim=-1)
    places = torch.cat(tuple(positions.to(tokens)), dim=-2).unsqueeze(1)
    places = places.expand(-1, tokens.shape[2], -1, -1)
    marginal = token_marginal.unsqueeze(-1)
    described = torch.cat(
        [torch.cat(tuple(tokens), dim=-2), places, marginal, torch.ones_like(marginal)], dim=-1
    )
    features = described[..., : tokens.shape[-1]]
    problems = Problems(features, places.mT.contiguous().mT, token_marginal, described)
    clusters = Clusters(_take(features, seeds), _take(places, seeds), cluster_marginal)
    cost = scores.new_full(scores.shape[:2], float('inf'))
    plan = scores.new_zeros(*scores.shape[:2], max_clusters, scores.shape[2]).mT
    return problems, clusters, Best(cost, plan, torch.zeros_like(cost, dtype=torch.long))


def _level(
    problems: Problems,
    clusters: Clusters,
    best: Best,
    *,
    position_weight: float,
    sinkhorn_reg: float,
    sinkhorn_iterations: int,
    cost_scaling: str,
) -> Clusters:
    """Assign tokens to K clusters, keep that where it is the best, and merge the closest two.

    Returns:
        The K - 1 clusters of the next level; the same after the last, of 2.
    """
    cost = assignment_cost(
        problems.features,
        clusters.centroids,
        problems.positions,
        clusters.positions,
        position_weight,
        cost_scaling,
    )
    plan = sinkhorn(cost, problems.marginal, clusters.marginal, sinkhorn_reg, sinkhorn_iterations)
    num_clusters = plan.shape[-1]
    if num_clusters <= best.plan.shape[-1]:
        level_cost = cost.mul_(plan).sum(dim=(-2, -1))
        better = level_cost < best.cost
        best.cost.copy_(torch.where(better, level_cost, best.cost))
        kept = best.plan[..., :num_clusters]
        kept.copy_(torch.where(better[..., None, None], plan, kept))
        best.num_clusters.masked_fill_(better, num_clusters)
    if num_clusters == 2:
        return clusters
    channels = clusters.centroids.shape[-1]
    sums = merge_closest_clusters(plan.mT @ problems.described, channels)
    means = sums[..., :-1] / sums[..., -1:]
    centroids, positions, marginal = means.split([channels, 2, 1], dim=-1)
    marginal = marginal.squeeze(-1)
    return Clusters(centroids, positions, marginal / marginal.sum(dim=-1, keepdim=True))


def assignment_cost(
    tokens: Tensor,
    centroids: Tensor,
    positions: Tensor,
    centroid_positions: Tensor,
    position_weight: float,
    scaling: str,
) -> Tensor:
    """Cost of assigning tokens to clusters, between 0 and 1.

    ``M = -cos(token, centroid) + λ_pos · p``, p the distance in the source image divided by the
    problem's greatest; then shifted and scaled to [0, 1].

    Args:
        tokens: (B, h, N, d), unit norm.
        centroids: (B, h, K, d).
        positions: (B, h, N, 2).
        centroid_positions: (B, h, K, 2).
        position_weight: λ_pos.
        scaling: ``'batch'`` or ``'problem'``: whose extremes become 0 and 1.

    Returns:
        (B, h, N, K), in memory cluster by cluster.
    """
    # Not by squares expanded to products: they lose digits on positions of some hundred pixels.
    x, y = (
        there.unsqueeze(-2) - here.unsqueeze(-1)
        for there, here in zip(positions.unbind(-1), centroid_positions.unbind(-1), strict=True)
    )
    distance = x.square_().addcmul_(y, y).sqrt_()  # (B, h, K, N)
    weight = position_weight / distance.amax((-2, -1), keepdim=True).clamp_min(TINY)
    cost = (-F.normalize(centroids, dim=-1) @ tokens.mT).addcmul_(distance, weight)
    dims = (0, 1, 2, 3) if scaling == 'batch' else (-2, -1)
    low, high = cost.amin(dims, keepdim=True), cost.amax(dims, keepdim=True)
    return cost.sub_(low).div_((high - low).clamp_min(TINY)).mT


def merge_closest_clusters(sums: Tensor, num_channels: int) -> Tensor:
    """Merge the two clusters whose mean features have the greatest dot product.

    Args:
        sums: (B, h, K, c), sums over each cluster's tokens, weighted by the plan: first of the
            features, last of 1, the cluster's weight.
        num_channels: Number of the features' channels.

    Returns:
        (B, h, K - 1, c): the kept clusters in their order, then the sum of the merged two.
    """
    num_clusters = sums.shape[-2]
    means = sums[..., :num_channels] / sums[..., -1:]
    closeness = means @ means.mT
    above = torch.ones_like(closeness, dtype=torch.bool).triu(diagonal=1)
    pair = closeness.masked_fill(~above, float('-inf')).flatten(-2).argmax(dim=-1, keepdim=True)
    first, second = pair // num_clusters, pair % num_clusters  # (B, h, 1), first < second
    # The kept clusters' old places: count on, stepping over the merged two.
    kept = torch.arange(num_clusters - 2, device=sums.device).expand(*sums.shape[:2], -1)
    kept = kept + (kept >= first)
    kept = kept + (kept >= second)
    both = _take(sums, torch.cat([first, second], dim=-1)).sum(dim=-2, keepdim=True)
    return torch.cat([_take(sums, kept), both], dim=-2)


def _take(values: Tensor, indices: Tensor) -> Tensor:
    """``values`` (B, h, N, c) at ``indices`` (B, h, K) -> (B, h, K, c)."""
    return values.gather(-2, indices.unsqueeze(-1).expand(*indices.shape, values.shape[-1]))
