"""Goodness of a grouping: modularity of a nearest-neighbour graph, and balance of the groups.

Tsitsulin et al., *Graph Clustering with Graph Neural Networks* (DMoN), JMLR 2023, as used in HSG
(arXiv 2204.11432, section 3.3).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.hsg.segments import filled_places
from mmcroc.numerics.precision import in_float32

AFFINITY_CONCENTRATION = 5.0


@torch.no_grad()
@in_float32
def neighbour_graph(
    nodes: Tensor, mask: Tensor, num_neighbours: int, view: Tensor | None = None
) -> Tensor:
    """Each node's nearest neighbours: a binary graph, not symmetrised, without self-loops.

    With ``view`` a node picks its k nearest in each of the two views (up to 2k edges), else its k
    nearest of all. Ties at the k-th place all become edges; where there are fewer
    candidates there are fewer edges. A node that is its image's only one keeps its self-loop.

    Args:
        nodes: (N, M, C), unit vectors.
        mask: (N, M), nodes that exist.
        num_neighbours: k.
        view: (N, M), the nodes' views, 0 or 1.

    Returns:
        (N, M, M), float, row i the edges of node i.
    """
    number = filled_places(mask)
    empty = mask.shape[1] - number
    nodes, mask = nodes[:, :number], mask[:, :number]
    affinity = (AFFINITY_CONCENTRATION * nodes @ nodes.mT).exp()
    alone = (mask.sum(1) == 1)[:, None, None]
    itself = torch.eye(number, dtype=torch.bool, device=nodes.device)
    pairs = mask[:, :, None] & mask[:, None, :]
    affinity = torch.where(pairs & (~itself | alone), affinity, 0)
    groups = [mask] if view is None else [view[:, :number] == 0, view[:, :number] == 1]
    edges = torch.zeros_like(affinity, dtype=torch.bool)
    for candidates in groups:
        among = torch.where(candidates[:, None, :], affinity, 0)
        worst = among.topk(min(num_neighbours, among.shape[-1]), dim=-1).values[..., -1:]
        edges |= (among >= worst) & (among > 0)
    return F.pad(edges.to(affinity), (0, empty, 0, empty))


@in_float32
def modularity_loss(assignment: Tensor, graph: Tensor) -> Tensor:
    """``1 - tr(SᵀAS - SᵀddᵀS / 2m) / 2m`` with d the row sums of A and 2m = 2 Σ d.

    Args:
        assignment: S, (N, M, K), soft groups of the nodes, zero rows where there is no node.
        graph: A, (N, M, M).

    Returns:
        (N,); 1, without gradient, for a graph without edges.
    """
    graph = graph.to(assignment)
    degree = graph.sum(-1)
    total = (2 * degree.sum(-1)).clamp_min(1)
    within = (assignment * (graph @ assignment)).sum((1, 2))
    expected = (degree[:, :, None] * assignment).sum(1).square().sum(-1) / total
    return 1 - (within - expected) / total


@in_float32
def balance_loss(assignment: Tensor) -> Tensor:
    """``‖Σᵢ Sᵢ‖₂ √K / M``: 1 when all groups are of one size, √K when one has all nodes.

    As released, M counts padded nodes too. S (N, M, K) as :func:`modularity_loss` takes it; (N,).
    """
    sizes = assignment.sum(1)
    return sizes.norm(dim=-1) * assignment.shape[-1] ** 0.5 / assignment.shape[1]
