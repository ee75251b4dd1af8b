"""Entropic optimal transport by Sinkhorn's iterations, for a batch of problems."""

import torch
from torch import Tensor


def sinkhorn(
    cost: Tensor,
    row_marginal: Tensor,
    column_marginal: Tensor,
    regularisation: float = 20.0,
    num_iterations: int = 5,
) -> Tensor:
    """Transport plan between tokens and clusters.

    ``Q = exp(-λ M)``, divided by its total, then rounds of scaling the rows to their marginal and
    the columns to theirs (Cuturi, *Sinkhorn Distances*, NeurIPS 2013). The column marginal holds
    exactly after a round, the row marginal in the limit.

    Args:
        cost: (..., N, K) cost M, of order 1; float32 or wider (exp(-20) is 0 in half precision).
        row_marginal: (..., N), sums to 1.
        column_marginal: (..., K), sums to 1.
        regularisation: λ, the inverse of the entropy's weight.
        num_iterations: Rounds.

    Returns:
        (..., N, K) plan Q. An entry that is 0/0 (a row or column that underflowed) is 1e-8.
    """
    plan = torch.exp(-regularisation * cost)
    plan = plan / plan.sum(dim=(-2, -1), keepdim=True)
    row_marginal, column_marginal = row_marginal.unsqueeze(-1), column_marginal.unsqueeze(-2)
    for _ in range(num_iterations):
        plan = plan * (row_marginal / plan.sum(dim=-1, keepdim=True))
        plan = plan * (column_marginal / plan.sum(dim=-2, keepdim=True))
    return torch.nan_to_num(plan, nan=1e-8, posinf=None, neginf=None)
