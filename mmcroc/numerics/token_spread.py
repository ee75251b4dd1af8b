"""How spread out dense features are: in how many directions, and how much all have in common.

Both figures look at the tokens' directions alone: each token is divided by its norm first. So they
do not depend on the features' scale, and they belong together: the mean cosine measures what all
tokens share, the effective rank counts the directions in which they differ from it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def effective_rank(tokens: Tensor) -> Tensor:
    """Effective rank of tokens: the number of directions in which they differ.

    Roy & Vetterli 2007: exp of the entropy of the singular values σᵢ of the N x C matrix of tokens,
    ``exp(-Σ pᵢ log pᵢ)`` with ``pᵢ = σᵢ / Σ σ``. The tokens are L2-normalised, then their mean is
    subtracted: else the direction that all share, which is no difference, would be the greatest.
    It lies between 1 (all on a line, or all equal) and min(N - 1, C) (the same spread in every
    direction). The σᵢ are the roots of the eigenvalues of the C x C scatter matrix, float64; on a
    GPU that waits for the device.
    """
    directions = _directions(tokens)
    centred = directions - directions.mean(dim=0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred)
    # Rounding leaves about 1e-16 of the whole (N, as all have norm 1) where there is nothing.
    spread = torch.where(eigenvalues > 1e-12 * len(tokens), eigenvalues, 0).sqrt()
    shares = spread / spread.sum().clamp_min(torch.finfo(spread.dtype).tiny)
    return torch.special.entr(shares).sum().exp()


def mean_cosine(tokens: Tensor) -> Tensor:
    """Mean cosine between two different tokens, over all pairs, those of other images included.

    Of N >= 2 tokens (N, C), float64. 1: all point the same way; 0: they have nothing in common. In
    closed form, from ``|Σ x|² = N + Σ_{i≠j} xᵢ·xⱼ`` for unit vectors x.
    """
    number = len(tokens)
    return (_directions(tokens).sum(dim=0).square().sum() - number) / (number * (number - 1))


def _directions(tokens: Tensor) -> Tensor:
    return F.normalize(tokens.double(), dim=-1)
