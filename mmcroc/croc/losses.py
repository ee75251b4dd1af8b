"""The cross-view losses of CrOC (and DINO): one view's teacher against the other view's student."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.numerics.distributed import all_reduce_sum


def teacher_probabilities(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """``softmax((logits - centre) / temperature)`` in float32; no gradient.

    Centring keeps one prototype from taking all, the low temperature keeps the distribution from
    becoming uniform (Caron et al., *Emerging Properties in Self-Supervised Vision Transformers*,
    ICCV 2021).

    Args:
        logits: (..., P).
        center: (1, P).
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
    count: Tensor | None = None,
) -> Tensor:
    """``½ (mean H(t¹, s²) + mean H(t², s¹))``.

    Args:
        teacher: (2, R, P) the teacher's probabilities of views 1 and 2.
        student_logits: (2, R, P).
        temperature: τₛ of the student.
        valid: (R,) rows that count; all by default.
        count: Divide by this instead of the number of valid rows.

    Returns:
        Scalar; 0 when no row is valid.
    """
    swapped = student_logits.float().flip(0).flatten(0, 1) / temperature
    per_row = F.cross_entropy(swapped, teacher.flatten(0, 1), reduction='none').view(2, -1)
    if valid is None:
        return per_row.mean()
    if count is None:
        count = valid.sum()
    # where, not a product: a row that does not count may hold anything, NaN too.
    return torch.where(valid, per_row, 0).sum() / (2 * count).clamp_min(1e-6)


def mean_entropy(probabilities: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean entropy in nats of distributions (2, R, P) over both views' valid rows (R,)."""
    entropy = torch.special.entr(probabilities).sum(dim=-1)
    if valid is None:
        return entropy.mean()
    return torch.where(valid, entropy, 0).sum() / (2 * valid.sum()).clamp_min(1)


def updated_centers(
    centers: list[Tensor],
    logits: list[Tensor],
    valid: list[Tensor | None],
    momentum: float = 0.9,
) -> list[Tensor]:
    """Moving averages of the teacher's mean logits, over both views and all ranks.

    ``c ← m c + (1 - m) mean(logits)``: the mean is over all ranks' rows, whose number may differ
    between ranks. One collective serves all levels.

    Args:
        centers: Per level (1, P).
        logits: Per level (2, R, P), the teacher's.
        valid: Per level (R,) rows that count, or None for all.
        momentum: m.

    Returns:
        The new centres. One whose level had no row on any rank is unchanged.
    """
    sums, counts = [], []
    for rows, mask in zip(logits, valid, strict=True):
        rows = rows.detach().float()
        if mask is None:
            sums.append(rows.sum(dim=(0, 1)))
            counts.append(rows.new_tensor([rows.shape[0] * rows.shape[1]]))
        else:
            sums.append(torch.where(mask.unsqueeze(-1), rows, 0).sum(dim=(0, 1)))
            counts.append((2 * mask.sum()).float().unsqueeze(0))
    reduced = all_reduce_sum(torch.cat([*sums, *counts]))
    *sums, counts = reduced.split([len(s) for s in sums] + [len(counts)])
    new = []
    for center, total, count in zip(centers, sums, counts, strict=True):
        mean = total / count.clamp_min(1)
        new.append(torch.where(count > 0, momentum * center + (1 - momentum) * mean, center))
    return new
