"""Linear heads trained by SGD on tokens that are kept: a linear evaluation without its backbone.

A frozen backbone makes the same tokens of the same crop in every epoch. Kept once, they train
several heads (of several seeds) at the cost of a matrix product each. One step of head s on a batch
of images is that of a 1x1 convolution with bias whose scores are resized (bilinear) to the masks:

    minimise  mean over labelled pixels of  -log softmax(resize(W_s x + b_s))[y]

Every head has an order of its own; all share one pass over time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size

#: Deviation of the first weights, as MMSegmentation's decode heads; biases begin at zero.
INITIAL_DEVIATION = 0.01


@dataclass
class LinearHeads:
    """S linear classifiers.

    Attributes:
        weight: Weights (S, K, D).
        bias: Biases (S, K).
    """

    weight: Tensor
    bias: Tensor

    def score_maps(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Scores of one image's tokens (D, h, w), float32 (S, K, H, W), resized to (H, W)."""
        with torch.autocast(tokens.device.type, enabled=False):
            weight, bias = (t.to(tokens.device, torch.float32) for t in (self.weight, self.bias))
            scores = torch.einsum('skd,dhw->skhw', weight, tokens.float()) + bias[..., None, None]
            return F.interpolate(scores, size=tuple(size), mode='bilinear')


class KeptTokens:
    """Tokens and labels of this rank's share of the images, of several crops of each.

    Image n of the data set lies on rank n % ranks, at place n // ranks.

    Args:
        num_draws: Number V of crops of an image.
        num_images: Number of images of this rank.
        dim: Number D of features.
        grid: Rows and columns (h, w) of an image's tokens.
        map_size: Height and width (H, W) of an image's labels.
    """

    def __init__(
        self,
        num_draws: int,
        num_images: int,
        dim: int,
        grid: Sequence[int],
        map_size: Sequence[int],
    ) -> None:
        self.grid = tuple(grid)
        # Main memory is only taken when it is written to.
        self.tokens = torch.empty(num_draws, num_images, math.prod(grid), dim, dtype=torch.float16)
        self.labels = torch.empty(num_draws, num_images, *map_size, dtype=torch.int16)

    @staticmethod
    def gibibytes(
        num_draws: int, num_images: int, dim: int, grid: Sequence[int], map_size: Sequence[int]
    ) -> float:
        """Memory that such a share takes, GiB."""
        return num_draws * num_images * 2 * (dim * math.prod(grid) + math.prod(map_size)) / 2**30

    def put(self, draw: int, place: int, tokens: Tensor, labels: Tensor) -> None:
        """Keep one crop of an image: tokens (D, h, w) and labels (H, W)."""
        self.tokens[draw, place] = tokens.flatten(1).T
        self.labels[draw, place] = labels


def epoch_order(seed: int, epoch: int, num_images: int) -> Tensor:
    """Order of an epoch's images (num_images,), a function of its arguments alone."""
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    return torch.randperm(num_images, generator=generator)


def initial_heads(
    seeds: Sequence[int], num_classes: int, dim: int, device: torch.device | str = 'cpu'
) -> LinearHeads:
    """Initialise heads, each from its seed alone."""
    weights = [
        torch.randn(num_classes, dim, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    weight = (INITIAL_DEVIATION * torch.stack(weights)).to(device)
    return LinearHeads(weight, torch.zeros(len(seeds), num_classes, device=device))


def train_linear_heads(
    kept: KeptTokens,
    heads: LinearHeads,
    num_images: int,
    seeds: Sequence[int],
    num_epochs: int = 25,
    batch_size: int = 120,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    milestones: Sequence[int] = (20,),
    ignore_index: int = 255,
    on_step: Callable[[], object] = lambda: None,
) -> Tensor:
    """Train heads by SGD, all at once, in place.

    Epoch e takes crop e mod V of every image; images that do not fill a batch are left out, other
    ones in each epoch. The learning rate falls to a tenth at each milestone.

    Args:
        kept: Tokens and labels of this rank's share.
        heads: S heads on the device to train on, float32.
        num_images: Number of images in the data set, over all ranks.
        seeds: Seeds of the S heads' orders.
        num_epochs: Number of epochs in the schedule.
        batch_size: Number of images of a step, over all ranks.
        lr: Learning rate.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD, on weights and biases.
        milestones: Epochs, counted from 0, that begin with a tenth of the rate.
        ignore_index: Label whose pixels do not count.
        on_step: Function that is called after every step.

    Returns:
        Each head's loss (S,), the mean over the last epoch's batches.
    """
    if not 1 <= batch_size <= num_images:
        raise ValueError(
            f'a batch of {batch_size} images cannot be drawn from {num_images} training images: '
            f'set batch_size to at most {num_images}'
        )
    parameters = [heads.weight.requires_grad_(), heads.bias.requires_grad_()]
    optimizer = torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(milestones), gamma=0.1)
    for epoch in range(num_epochs):
        draw = epoch % len(kept.tokens)
        losses = []
        orders = torch.stack([epoch_order(seed, epoch, num_images) for seed in seeds])
        for step in range(num_images // batch_size):
            images = orders[:, step * batch_size : (step + 1) * batch_size]
            losses.append(_set_gradients(heads, kept, draw, images, ignore_index))
            optimizer.step()
            on_step()
        schedule.step()
    for parameter in parameters:
        parameter.requires_grad_(False).grad = None
    return all_reduce_sum(torch.stack(losses).mean(0))


def _set_gradients(
    heads: LinearHeads, kept: KeptTokens, draw: int, images: Tensor, ignore_index: int
) -> Tensor:
    """Set the gradients of each head's mean loss on its images (S, B), over all ranks.

    Returns:
        This rank's part of the losses (S,).
    """
    device = heads.weight.device
    head, column = torch.nonzero(images % get_world_size() == get_rank(), as_tuple=True)
    place = images[head, column] // get_world_size()
    head = head.to(device)
    tokens = kept.tokens[draw][place].to(device, torch.float32)
    labels = kept.labels[draw][place].to(device, torch.long)
    labelled = (labels != ignore_index).flatten(1).sum(1)
    counts = torch.zeros(len(images), device=device).index_add_(0, head, labelled.float())
    counts = all_reduce_sum(counts).clamp(min=1)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        scores = torch.baddbmm(heads.bias[head][..., None], heads.weight[head], tokens.mT)
        scores = scores.unflatten(2, kept.grid)
        scores = F.interpolate(scores, size=tuple(labels.shape[1:]), mode='bilinear')
        losses = F.cross_entropy(scores, labels, ignore_index=ignore_index, reduction='none')
        losses = losses.flatten(1).sum(1) / counts[head]
        gradients = torch.autograd.grad(losses.sum(), (heads.weight, heads.bias))
    flat = all_reduce_sum(torch.cat([gradient.flatten() for gradient in gradients]))
    heads.weight.grad = flat[: heads.weight.numel()].view_as(heads.weight)
    heads.bias.grad = flat[heads.weight.numel() :].view_as(heads.bias)
    return torch.zeros(len(images), device=device).index_add_(0, head, losses.detach())
