"""Softmax regression on kept tokens: by L-BFGS to the optimum, or several heads by SGD at once.

Every rank holds all tokens and computes the chunks, or the share of a batch, that fall to it.
Chunks are alike however many ranks there are, and their sums are gathered in float64, so that the
number of ranks changes no more than the order of a sum.

Reference: Liu and Nocedal, *On the limited memory BFGS method for large scale optimization*, 1989.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.numerics.linear_heads import LinearHeads
from mmcroc.numerics.precision import full_float32

#: Label of tokens that are left out.
LEFT_OUT = -1
#: Number of tokens whose scores are held at once.
CHUNK = 16384


def logistic_regression(
    tokens: Tensor,
    labels: Tensor,
    num_classes: int,
    strength: float,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    max_iterations: int = 1000,
    tolerance: float = 1e-4,
    history: int = 5,
    device: torch.device | str = 'cpu',
) -> tuple[Tensor, Tensor]:
    """Fit a softmax regression with an L2 penalty. Every rank must call.

        minimise  ½ |W|² + strength · Σᵢ -log softmax(W xᵢ + b)[yᵢ]

    by L-BFGS over all tokens, with a line search for the strong Wolfe conditions; b is not
    penalised. As ``sklearn.linear_model.LogisticRegression(C=strength)``.

    Args:
        tokens: Tokens (N, D) of all ranks, alike on each.
        labels: Labels (N,), integers in [0, num_classes) or :data:`LEFT_OUT`.
        num_classes: Number K of classes.
        strength: Inverse strength C of the penalty.
        start: First weights (K, D) and biases (K,). Default: zeros.
        max_iterations: Most iterations.
        tolerance: Greatest entry of the gradient at which to stop, the objective being divided by
            ``strength`` times the number of labelled tokens.
        history: Number of pairs that approximate the curvature.
        device: Device to compute on.

    Returns:
        Weights (K, D) and biases (K,), float64.

    Raises:
        ValueError: No token has a label.
    """
    number = int((labels != LEFT_OUT).sum())
    if not number:
        raise ValueError('no token with a label: all are ignored')
    shape = num_classes, tokens.shape[1]
    if start is None:
        start = torch.zeros(shape), torch.zeros(num_classes)
    weight, bias = (part.to(device, torch.float64, copy=True) for part in start)
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=0,
        history_size=history,
        line_search_fn='strong_wolfe',
    )

    @torch.no_grad()
    def objective() -> float:
        loss, *gradients = _loss_and_gradients(tokens, labels, weight, bias)
        penalty = 1 / (strength * number)
        weight.grad = gradients[0] / number + penalty * weight
        bias.grad = gradients[1] / number
        return float(loss / number + penalty / 2 * weight.square().sum())

    optimizer.step(objective)
    return weight.detach(), bias.detach()


def _loss_and_gradients(
    tokens: Tensor, labels: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of the cross-entropies, and its gradients in weights and biases, over all ranks."""
    total = weight.new_zeros(1 + weight.numel() + bias.numel())
    for chunk, label in _own_chunks(tokens, labels, weight.device):
        with full_float32(weight.device):
            log_p = F.log_softmax(chunk @ weight.float().T + bias.float(), 1)
            slope = log_p.exp() - F.one_hot(label, len(bias))
            parts = slope.T @ chunk, slope.double().sum(0)
        loss = -log_p.gather(1, label[:, None]).double().sum()
        total += torch.cat([loss[None], *(part.double().flatten() for part in parts)])
    loss, slopes, biases = all_reduce_sum(total).split([1, weight.numel(), bias.numel()])
    return loss[0], slopes.view_as(weight), biases


def _own_chunks(
    tokens: Tensor, labels: Tensor, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """This rank's chunks of labelled tokens, in float32 on the device."""
    starts = range(0, len(tokens), CHUNK)[get_rank() :: get_world_size()]
    for start in starts:
        label = labels[start : start + CHUNK].to(device, torch.long)
        labelled = label != LEFT_OUT
        chunk = tokens[start : start + CHUNK].to(device, torch.float32)
        yield chunk[labelled], label[labelled]


@torch.no_grad()
def train_jointly(
    tokens: Tensor,
    labels: Tensor,
    num_classes: int,
    learning_rates: Sequence[float],
    *,
    num_epochs: int = 10,
    batch_size: int = 1024,
    momentum: float = 0.9,
    seed: int = 0,
    device: torch.device | str = 'cpu',
    on_step: Callable[[], object] = lambda: None,
) -> LinearHeads:
    """Train a linear head per learning rate by SGD on the same batches. Every rank must call.

    Weights start at zero; the rates fall to zero along half a cosine. A last batch of an epoch
    that is not full is left out, if there is another.

    Args:
        tokens: Tokens (N, D) of all ranks, alike on each.
        labels: Labels (N,), integers in [0, num_classes) or :data:`LEFT_OUT`.
        num_classes: Number K of classes.
        learning_rates: First rates of the S heads.
        num_epochs: Number of passes over the labelled tokens.
        batch_size: Number of tokens of a step, over all ranks.
        momentum: Momentum of SGD.
        seed: Seed of the order.
        device: Device to train on.
        on_step: Function that is called after every step.

    Returns:
        S heads, float32.

    Raises:
        ValueError: No token has a label.
    """
    places = torch.nonzero(labels.cpu() != LEFT_OUT)[:, 0]
    if not len(places):
        raise ValueError('no token with a label: all are ignored')
    heads = LinearHeads(
        torch.zeros(len(learning_rates), num_classes, tokens.shape[1], device=device),
        torch.zeros(len(learning_rates), num_classes, device=device),
    )
    parameters = [heads.weight, heads.bias]
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    rates = torch.tensor(learning_rates, dtype=torch.float64)
    steps = num_joint_steps(len(places), num_epochs, batch_size)
    per_epoch = steps // num_epochs
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        if step % per_epoch == 0:
            order = places[torch.randperm(len(places), generator=generator)]
        first = step % per_epoch * batch_size
        batch = order[first : first + batch_size]
        own = batch[get_rank() :: get_world_size()].to(tokens.device)
        gradients = _joint_gradients(
            heads, tokens[own].to(device), labels[own].to(device), len(batch)
        )
        now = (rates * (1 + torch.cos(torch.tensor(torch.pi * step / steps))) / 2).to(device)
        for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            velocity.mul_(momentum).add_(gradient)
            parameter -= now.float().view(-1, *[1] * (parameter.dim() - 1)) * velocity
        on_step()
    return heads


def num_joint_steps(num_tokens: int, num_epochs: int, batch_size: int) -> int:
    """Number of steps of :func:`train_jointly` on so many labelled tokens."""
    return num_epochs * max(num_tokens // batch_size, 1)


def _joint_gradients(
    heads: LinearHeads, tokens: Tensor, labels: Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """Gradients of every head's mean cross-entropy on a batch, over all ranks.

    Args:
        tokens: This rank's tokens (B, D).
        labels: Their labels (B,).
        number: Number of tokens in the batch, over all ranks.
    """
    with full_float32(tokens.device):
        tokens = tokens.float()
        scores = tokens @ heads.weight.mT + heads.bias[:, None]
        slope = (scores.softmax(2) - F.one_hot(labels.long(), scores.shape[2])) / number
        parts = slope.mT @ tokens, slope.sum(1)
    flat = all_reduce_sum(torch.cat([part.flatten() for part in parts]))
    weight, bias = flat.split([part.numel() for part in parts])
    return weight.view_as(heads.weight), bias.view_as(heads.bias)
