"""float32 islands: arithmetic that bf16 or TF32 would break."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Compute in true float32 inside, whatever autocast and the TF32 switches say outside.

    Tensors that enter must be cast by the caller (``.float()``); autocast's own casts and the
    GPU's TF32 matrix products are off.

    Args:
        device: Device of the computation.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != 'cuda':
            yield
            return
        matmul = torch.backends.cuda.matmul
        # torch >= 2.9 has a switch of its own, and raises if it is mixed with the old one.
        switch, strict = (
            ('fp32_precision', 'ieee')
            if hasattr(matmul, 'fp32_precision')
            else ('allow_tf32', False)
        )
        before = getattr(matmul, switch)
        setattr(matmul, switch, strict)
        try:
            yield
        finally:
            setattr(matmul, switch, before)


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Convert a tensor to float32, or leave it unchanged if it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
