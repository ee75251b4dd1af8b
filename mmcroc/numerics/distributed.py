"""Collective operations, with and without gradient. No-ops without a process group."""

import torch
import torch.distributed.nn.functional as dist_nn
from torch import Tensor
from torch import distributed as dist


def is_distributed() -> bool:
    """Whether this process belongs to an initialised process group."""
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """Rank of this process, 0 without a process group."""
    return dist.get_rank() if is_distributed() else 0


def get_world_size() -> int:
    """Number of ranks, 1 without a process group."""
    return dist.get_world_size() if is_distributed() else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, on the tensor's device.

    Use the returned tensor: whether the argument is changed in place is not promised.
    """
    if get_world_size() == 1:
        return tensor
    # NCCL moves nothing that lies in main memory.
    through_gpu = tensor.device.type == 'cpu' and dist.get_backend() == 'nccl'
    summed = tensor.cuda() if through_gpu else tensor.contiguous()
    dist.all_reduce(summed)
    return summed.to(tensor.device)


def all_gather_stack(tensor: Tensor) -> Tensor:
    """Stack a tensor (of the same shape on every rank) of all ranks: (ranks, *shape).

    A sum of stacks that are zero but for this rank's entry: exact, and available on every backend.
    Meant for small tensors.
    """
    stack = tensor.new_zeros(get_world_size(), *tensor.shape)
    stack[get_rank()] = tensor
    return all_reduce_sum(stack)


def all_reduce_max(tensor: Tensor) -> Tensor:
    """Greatest of a tensor over all ranks, elementwise."""
    return all_gather_stack(tensor).amax(0) if get_world_size() > 1 else tensor


def differentiable_all_reduce_mean(tensor: Tensor) -> Tensor:
    """Mean of a tensor over all ranks, through which gradient flows to every rank's share."""
    ranks = get_world_size()
    return dist_nn.all_reduce(tensor) / ranks if ranks > 1 else tensor


def differentiable_all_gather(tensor: Tensor) -> Tensor:
    """Join the tensors of all ranks along the first dimension; gradient flows through it.

    (R, ...) becomes (ranks · R, ...), rank by rank. All shapes must be alike: pad, and gather the
    mask beside. (Ragged shapes would have to be asked of the device.)
    """
    return torch.cat(dist_nn.all_gather(tensor.contiguous())) if get_world_size() > 1 else tensor


def mean_divisor(count: Tensor, over_ranks: bool) -> Tensor:
    """Divisor that makes a mean of a rank's sum of ``count`` summands; a sum of nothing stays 0.

    A mean over all ranks' summands divides each rank's sum by the ranks' mean number, since
    DistributedDataParallel averages gradients over ranks.
    """
    if not over_ranks:
        return count.clamp_min(1)
    return all_reduce_sum(count).clamp_min(1) / get_world_size()
