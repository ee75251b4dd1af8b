"""Reductions that are right at one rank and at many."""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, in place; no gradient."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


class _AllReduceSum(torch.autograd.Function):
    """Sum over ranks whose gradient is the sum over ranks of the gradients."""

    @staticmethod
    def forward(ctx, tensor):
        return all_reduce_sum(tensor.clone())

    @staticmethod
    def backward(ctx, gradient):
        return all_reduce_sum(gradient.contiguous().clone())


def differentiable_all_reduce_mean(tensor: Tensor) -> Tensor:
    """Mean of a tensor over all ranks, through which gradient flows to every rank's share."""
    ranks = world_size()
    return _AllReduceSum.apply(tensor) / ranks if ranks > 1 else tensor
