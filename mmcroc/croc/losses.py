"""The cross-view losses of CrOC (and DINO): one view's teacher against the other view's student."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.numerics.distributed import all_reduce_sum, mean_divisor


def teacher_probabilities(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """``softmax((logits - centre) / temperature)`` in float32; no gradient.

    Centring keeps one prototype from taking all, the low temperature keeps the distribution from
    becoming uniform (Caron et al., *Emerging Properties in Self-Supervised Vision Transformers*,
    ICCV 2021).

    Args:
        logits: (..., P), the teacher's.
        center: (1, P), running mean of the teacher's logits.
        temperature: τₜ.

    Returns:
        (..., P) probabilities.
    """
    return torch.softmax((logits.detach().float() - center) / temperature, dim=-1)


def cross_view_cross_entropy(
    teacher: Tensor,
    student_logits: Tensor,
    temperature: float = 0.1,
    valid: Tensor | None = None,
    over_ranks: bool = False,
) -> Tensor:
    """``½ (mean H(t¹, s²) + mean H(t², s¹))``.

    Args:
        teacher: (2, R, P), the teacher's probabilities in views 1 and 2.
        student_logits: (2, R, P), the student's logits in views 1 and 2.
        temperature: τₛ of the student.
        valid: (R,), rows that count; all by default.
        over_ranks: Whether the mean is over the valid rows of all ranks, as far as gradients
            averaged over ranks go.

    Returns:
        Scalar; 0 when no row is valid.
    """
    swapped = student_logits.float().flip(0).flatten(0, 1) / temperature
    per_row = F.cross_entropy(swapped, teacher.flatten(0, 1), reduction='none').view(2, -1)
    if valid is None:
        return per_row.mean()
    # where, not a product: a row that does not count may hold anything, NaN too.
    total = torch.where(valid, per_row, 0).sum()
    return total / (2 * mean_divisor(valid.sum(), over_ranks))


def mean_entropy(probabilities: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean entropy of distributions.

    Args:
        probabilities: (2, R, P), of views 1 and 2.
        valid: (R,), rows that count; all by default.

    Returns:
        Scalar, in nats; 0 when no row is valid.
    """
    entropy = torch.special.entr(probabilities).sum(dim=-1)
    if valid is None:
        return entropy.mean()
    return torch.where(valid, entropy, 0).sum() / (2 * valid.sum()).clamp_min(1)


def updated_centers(
    centers: Sequence[Tensor],
    logits: Sequence[Tensor],
    valid: Sequence[Tensor | None],
    momentum: float = 0.9,
) -> list[Tensor]:
    """Moving averages of the teacher's mean logits, over both views and all ranks.

    ``c ← m c + (1 - m) mean(logits)``: the mean is over all ranks' rows, whose number may differ
    between ranks. One collective serves all levels.

    Args:
        centers: Centre of each level, (1, P).
        logits: The teacher's logits of each level, (2, R, P).
        valid: Rows that count of each level, (R,), or None for all.
        momentum: m.

    Returns:
        New centre of each level, unchanged where the level had no row on any rank.
    """
    sums, counts = [], []
    for rows, mask in zip(logits, valid, strict=True):
        rows = rows.detach().float()
        if mask is None:
            sums.append(rows.sum(dim=(0, 1)))
            counts.append(rows.new_full((1,), rows.shape[0] * rows.shape[1]))  # waits for nothing
        else:
            sums.append(torch.where(mask.unsqueeze(-1), rows, 0).sum(dim=(0, 1)))
            counts.append((2 * mask.sum()).float().unsqueeze(0))
    reduced = all_reduce_sum(torch.cat([*sums, *counts]))
    *totals, numbers = reduced.split([*map(len, sums), len(counts)])
    new = []
    for center, total, count in zip(centers, totals, numbers, strict=True):
        mean = total / count.clamp_min(1)
        new.append(torch.where(count > 0, momentum * center + (1 - momentum) * mean, center))
    return new
