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
    with torch.autocast(device.type, enabled=False), _products(device, tf32=False):
        yield


@contextlib.contextmanager
def _products(device: torch.device, tf32: bool) -> Iterator[None]:
    """Have a GPU's matrix products of float32 be true ones inside, or TF32's."""
    if device.type != 'cuda':
        yield
        return
    matmul = torch.backends.cuda.matmul
    # torch >= 2.9 has a switch of its own, and raises if it is mixed with the old one.
    new = hasattr(matmul, 'fp32_precision')
    switch, value = ('fp32_precision', 'tf32' if tf32 else 'ieee') if new else ('allow_tf32', tf32)
    before = getattr(matmul, switch)
    setattr(matmul, switch, value)
    try:
        yield
    finally:
        setattr(matmul, switch, before)


@torch.compiler.disable  # it switches, and products need no compiler
def product_with_rows(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``x @ rows.T`` in float32; in TF32 on a GPU where autocast is on, with its gradients.

    bfloat16 would round the result to 8 bits. TF32 rounds the factors to 11 and sums in float32: at
    least what float16 makes of it, by the matrix units that float32 has none of.

    Args:
        x: (R, C).
        rows: (P, C).

    Returns:
        (R, P), float32.
    """
    tf32 = x.device.type == 'cuda' and torch.is_autocast_enabled('cuda')
    with torch.autocast(x.device.type, enabled=False):
        x, rows = x.float(), rows.float()
        return _TF32Product.apply(x, rows) if tf32 else x @ rows.mT


class _TF32Product(torch.autograd.Function):
    """:func:`product_with_rows` in TF32: what a backward switches has to be switched in it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, rows)
        with _products(x.device, tf32=True):
            return x @ rows.mT

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, rows = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        with _products(x.device, tf32=True):
            return (
                gradient @ rows if wanted[0] else None,
                gradient.mT @ x if wanted[1] else None,
            )


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
