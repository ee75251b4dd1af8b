"""Whether a backbone can be CrOC's, and its frozen blocks student's and teacher's alike."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def require_tokens(backbone: nn.Module, neck: Any) -> None:
    """Refuse a backbone that does not give what is clustered, or not what the neck takes.

    Args:
        backbone: The student's backbone.
        neck: The student's :class:`mmcroc.croc.CrOCNeck`.

    Raises:
        ValueError: It does not.
    """
    kind = type(backbone).__name__
    if not hasattr(backbone, 'forward_tapped'):
        raise ValueError(
            f'CrOC: a {kind} has no [CLS] and no keys of attention; model.backbone.type must be '
            'mmcroc.VisionTransformer or mmcroc.TimmVisionTransformer'
        )
    given, taken = backbone.embed_dims, neck.mlp[0].in_features
    if given != taken:
        raise ValueError(
            f'CrOC: tokens of the {kind} have {given} channels, but the neck takes {taken}: set '
            f'model.neck.in_channels={given}'
        )


def require_shared(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Refuse frozen parameters of the student that are not the teacher's too.

    Args:
        pairs: Parameters of the student, each with the teacher's.

    Raises:
        ValueError: They differ.
    """
    if not all(torch.equal(*pair) for pair in pairs if not pair[0].requires_grad):
        raise ValueError(
            'CrOC: trained_blocks shares the frozen blocks between student and teacher, but their '
            'weights differ: start both from one backbone (tools/train.py --backbone MODEL), or '
            'train all blocks, model.trained_blocks=None'
        )
