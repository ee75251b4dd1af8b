"""The optimiser step of DINO and CrOC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import Optimizer

from mmcroc.registry import OPTIM_WRAPPERS

DTYPES = ('auto', 'float32', 'bfloat16', 'float16')


@OPTIM_WRAPPERS.register_module()
class SelfDistillOptimWrapper(OptimWrapper):
    """MMEngine's wrapper, plain and AMP in one, with two habits of self-distillation.

    Gradients are clipped per parameter tensor, not over the global norm; and ``log_vars`` holds
    the gradient norms before clipping, on the device.

    Args:
        optimizer: Optimiser to wrap.
        max_tensor_norm: Greatest L2 norm of a parameter tensor's gradient; None for no limit.
        amp_dtype: ``'auto'``: bfloat16 where the device computes in it, float16 with loss scaling
            on older GPUs, float32 on a CPU. Or ``'float32'``, ``'bfloat16'``, ``'float16'``.
        loss_scale: Settings of ``torch.amp.GradScaler`` for float16; ``'dynamic'`` for its
            defaults.
        **kwargs: Further settings of ``OptimWrapper``, without ``clip_grad``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_tensor_norm: float | None = None,
        amp_dtype: str = 'auto',
        loss_scale: str | dict = 'dynamic',
        **kwargs: Any,
    ):
        if kwargs.get('clip_grad'):
            raise ValueError(
                'SelfDistillOptimWrapper clips per tensor: set optim_wrapper.max_tensor_norm '
                'instead of optim_wrapper.clip_grad'
            )
        if amp_dtype not in DTYPES:
            raise ValueError(f'optim_wrapper.amp_dtype={amp_dtype!r} is none of {DTYPES}')
        super().__init__(optimizer, **kwargs)
        self.max_tensor_norm = max_tensor_norm
        self.log_vars: dict[str, torch.Tensor] = {}
        self.device_type = torch.device(get_device()).type
        self.amp_dtype = _amp_dtype(amp_dtype, self.device_type)
        scaling = {} if loss_scale == 'dynamic' else dict(cast(dict, loss_scale))
        # A scaler that is not enabled passes everything through.
        self.loss_scaler = torch.amp.GradScaler(
            self.device_type, enabled=self.amp_dtype is torch.float16, **scaling
        )
        # A step that the scaler leaves out is none, not one that a fused optimiser skips inside.
        vars(optimizer)['_step_supports_amp_scaling'] = False

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Compute gradients of the loss, scaled if it computes in float16."""
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clip the gradients and take the optimiser's step."""
        self.loss_scaler.unscale_(self.optimizer)
        self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()

    @torch.no_grad()
    def _clip_grad(self) -> None:
        """Clip each gradient by its own norm; keep the norms of before for the log."""
        gradients = [
            parameter.grad
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not gradients:
            return
        norms = torch.stack(torch._foreach_norm(gradients))
        self.log_vars = dict(
            grad_norm=torch.linalg.vector_norm(norms), grad_norm_max_tensor=norms.max()
        )
        if self.max_tensor_norm is not None:
            factors = (self.max_tensor_norm / (norms + 1e-6)).clamp_max(1)
            torch._foreach_mul_(gradients, list(factors.unbind()))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast, and what gradient accumulation needs."""
        autocast = torch.autocast(
            self.device_type, self.amp_dtype, enabled=self.amp_dtype is not torch.float32
        )
        with super().optim_context(model), autocast:
            yield

    def state_dict(self) -> dict:
        """State of the optimiser and of the loss scaling."""
        state = super().state_dict()
        if self.loss_scaler.is_enabled():
            state['loss_scaler'] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the state of the optimiser and of the loss scaling."""
        scaler_state = state_dict.pop('loss_scaler', None)
        if scaler_state and self.loss_scaler.is_enabled():
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(state_dict)


def _amp_dtype(name: str, device_type: str) -> torch.dtype:
    """Type that a device computes in; ``'auto'`` asks the device."""
    if name != 'auto':
        return getattr(torch, name)
    if device_type != 'cuda':
        return torch.float32
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16
