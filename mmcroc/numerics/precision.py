"""float32 islands: arithmetic that bf16 or TF32 would break."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec('P')
R = TypeVar('R')


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Compute in true float32 inside, whatever autocast and the TF32 switches say outside.

    Tensors that enter must be cast by the caller (``.float()``).
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != 'cuda':
            yield
            return
        matmul = torch.backends.cuda.matmul
        # torch >= 2.9 has a switch of its own, and raises if it is mixed with the old one.
        new = hasattr(matmul, 'fp32_precision')
        switch, strict = ('fp32_precision', 'ieee') if new else ('allow_tf32', False)
        before = getattr(matmul, switch)
        setattr(matmul, switch, strict)
        try:
            yield
        finally:
            setattr(matmul, switch, before)


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Convert a tensor to float32, or leave it unchanged if it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of tensors so that it computes in float32, see :func:`full_float32`.

    Its tensors of half precision are cast to float32; those of float64 stay, and so do integers.
    Its first tensor tells the device. ``torch.compile`` compiles the function by itself: switches
    of precision are set outside of what it compiles.
    """

    def cast(value: Any) -> Any:
        is_real = torch.is_tensor(value) and value.is_floating_point()
        return at_least_float32(value) if is_real else value

    @torch.compiler.disable
    def prepared(args: tuple, kwargs: dict) -> tuple[torch.device, list, dict]:
        device = next(x.device for x in (*args, *kwargs.values()) if torch.is_tensor(x))
        return device, [*map(cast, args)], {name: cast(value) for name, value in kwargs.items()}

    @torch.compiler.disable(recursive=False)
    @functools.wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        device, args, kwargs = prepared(args, kwargs)
        with full_float32(device):
            return function(*args, **kwargs)

    return computed
