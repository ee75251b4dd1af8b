"""Where [CLS] looks."""

import torch
from torch import Tensor

from mmcroc.numerics.precision import full_float32


def cls_attention(query: Tensor, key: Tensor) -> Tensor:
    """Attention of [CLS] to every token, by head: ``softmax(q_cls · k / √d)``.

    Vaswani et al., *Attention Is All You Need*, 2017, equation 1, of one query.

    Args:
        query: (B, h, N, d), [CLS] first.
        key: (B, h, N, d), likewise.

    Returns:
        (B, h, N), float32, summing to 1; the first is [CLS]'s attention to itself.
    """
    with full_float32(query.device):
        query, key = query[:, :, :1].float(), key.float()
        logits = query @ key.mT / query.shape[-1] ** 0.5
        return torch.softmax(logits, dim=-1).squeeze(-2)
