"""From groups of one level to those of the next (HSG, arXiv 2204.11432, section 3.2)."""

import torch
from torch import Tensor

from .precision import at_least_float32, full_float32


def coarser_assignment(assignment: Tensor, transition: Tensor) -> Tensor:
    """``P_{l+1} = C P_l``: every coarse group is a union of soft fine groups, by construction.

    Args:
        assignment: P_l, (N, K, M): each node's probability of each of K groups.
        transition: C, (N, L, K): each group's probability of each of L coarser ones.

    Returns:
        (N, L, M).
    """
    with full_float32(assignment.device):
        return at_least_float32(transition) @ at_least_float32(assignment)


def group_means(values: Tensor, assignment: Tensor, mask: Tensor) -> Tensor:
    """Means of nodes' values over the groups that they most probably belong to.

    Args:
        values: (N, M, C).
        assignment: (N, K, M) probabilities.
        mask: (N, M), nodes that exist.

    Returns:
        (N, K, C), zero for a group without nodes.
    """
    group = assignment.argmax(1)
    numbers = torch.arange(assignment.shape[1], device=group.device)
    member = ((group[:, None, :] == numbers[:, None]) & mask[:, None, :]).to(values)
    return member @ values / member.sum(-1, keepdim=True).clamp_min(1)
