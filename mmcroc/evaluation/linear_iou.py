"""Linear evaluation of frozen tokens: a ridge classifier in closed form, heads trained by SGD."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.evaluation.fitted_iou import FittedIoU
from mmcroc.evaluation.progress import Progress
from mmcroc.evaluation.token_metric import iou_table, log, require_half
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.distributed import get_rank, get_world_size
from mmcroc.numerics.linear_heads import (
    KeptTokens,
    LinearHeads,
    initial_heads,
    train_linear_heads,
)
from mmcroc.numerics.ridge import RidgeAccumulator
from mmcroc.registry import METRICS


class LinearIoU(FittedIoU):
    """Base of the metrics that fit linear classifiers of frozen tokens, one or several.

    Fitting sets :attr:`heads`. Scores on the evaluated images are interpolated (bilinear) to the
    mask, which is the same as classifying interpolated tokens.

    Args:
        protocol: Name of the protocol, the prefix of every number.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        **kwargs: Further arguments of :class:`TokenMetric`.

    Attributes:
        heads: The classifiers, once they are fitted.
    """

    def __init__(self, protocol: str, absent: str = 'zero', **kwargs: Any) -> None:
        super().__init__(protocol, absent, **kwargs)
        self.settings: dict[str, Any] = dict(absent=absent)
        self.heads: LinearHeads | None = None

    @torch.no_grad()
    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Classify an image's tokens (C, h, w) and count its pixels against its mask (H, W)."""
        if self.heads is None:
            raise RuntimeError(
                f'{self.protocol}: no classifier was fitted; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        # On a CPU, argmax over a dimension that is not the last takes 15 times as long.
        self.count(number, self.heads.score_maps(tokens, mask.shape).max(1).indices, mask)

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        began = time.perf_counter()
        self.report = self.count_report(size, len(self.heads.weight) if self.heads else 1)
        self.report['settings'] = dict(self.settings, num_train_images=self.num_train_images)
        self.report['seconds'] = time.perf_counter() - began
        log(
            f'{self.protocol}: fitted on {self.num_train_images} images, scored on {size}\n'
            f'{iou_table(self.report)}'
        )
        return self.report['metrics']


@METRICS.register_module()
class LinearRidgeIoU(LinearIoU):
    """Mean IoU of a linear classifier of frozen tokens, fitted in closed form.

    The tokens of a few training images are classified, each token labelled with the class of most
    of its pixels. Nothing is random.

    Args:
        train_dataloader: Labelled training images, in a fixed order and without augmentation. By
            default ranks share them without repetition.
        alpha: Ridge penalty on weights for standardised tokens, not divided by their number.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        alpha: float = 1.0,
        absent: str = 'zero',
        protocol: str = 'linear-ridge',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, absent, **kwargs)
        self.passes = [TrainingImages(train_dataloader)]
        self.settings = dict(alpha=alpha, absent=absent)
        self.alpha = alpha
        self.ridge: RidgeAccumulator | None = None

    def begin_fit(self) -> None:
        """Forget the classifier."""
        self.heads, self.ridge = None, None

    @torch.no_grad()
    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Add an image's tokens and their classes to the moments that the classifier follows from.

        Raises:
            ValueError: As :meth:`process`.
        """
        tokens, mask = self._tokens(sample, name), self._mask(sample, name)
        if self.ridge is None:
            self.ridge = RidgeAccumulator(
                len(tokens), len(self.classes), self.ignore_index, tokens.device
            )
        labels = self._token_labels(mask.to(tokens.device), tokens.shape[-2:])
        self.ridge.update(tokens.permute(1, 2, 0), labels)

    def end_fit(self) -> None:
        """Solve for the classifier. Every rank must call.

        Raises:
            ValueError: No token has a label.
        """
        assert self.ridge is not None  # there was an image
        classifier = self.ridge.all_reduce().fit(self.alpha, standardize=True)
        self.heads = LinearHeads(classifier.weight[None], classifier.bias[None])

    def _token_labels(self, mask: Tensor, grid: Sequence[int]) -> Tensor:
        """The class of most of a token's labelled pixels: (h, w), ignore_index without any."""
        classes = torch.arange(len(self.classes), device=mask.device)[:, None, None]
        shown = (mask == classes) & (mask != self.ignore_index)
        share = F.adaptive_avg_pool2d(shown.float(), (grid[0], grid[1]))
        most, label = share.max(0)
        return torch.where(most > 0, label, self.ignore_index)


@METRICS.register_module()
class LinearHeadIoU(LinearIoU):
    """Mean IoU of linear heads that are trained by SGD on kept tokens, for several seeds.

    Every training image is sampled a few times (crop, flip); the tokens of these crops are kept in
    half precision in main memory, and a head per seed is trained on them: epoch e takes crop
    e mod ``num_draws``. With as many crops as epochs this is the usual linear evaluation; with few
    it takes the fraction of its time. Crops are a function of (image, crop), orders and first
    weights of the seed.

    Reference: Ziegler and Asano, *Self-supervised learning of object parts for semantic
    segmentation* (Leopart), CVPR 2022, for head and schedule.

    Args:
        train_dataloader: Labelled training images. By default ranks share them without repetition.
        train_pipeline: Transforms of these images: all crops of one size, all masks too.
        num_draws: Number of crops of each image that are kept.
        num_epochs: Length of the schedule, epochs.
        batch_size: Images of a step, over all ranks.
        lr: Learning rate.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        milestones: Epochs that begin with a tenth of the rate.
        seeds: Seeds of first weights and order; a head is trained for each.
        max_gib: Most main memory that a process may keep tokens in, GiB.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        train_pipeline: list[dict],
        num_draws: int = 2,
        num_epochs: int = 25,
        batch_size: int = 120,
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        milestones: Sequence[int] = (20,),
        seeds: Sequence[int] = (0, 1, 2),
        max_gib: float = 16,
        absent: str = 'zero',
        protocol: str = 'linear-cached',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, absent, **kwargs)
        numbers = dict(num_draws=num_draws, num_epochs=num_epochs, batch_size=batch_size)
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f'LinearHeadIoU: {name} must be at least 1, got {value}')
        if self.ignore_index > torch.iinfo(torch.int16).max:
            raise ValueError(
                f'LinearHeadIoU: ignore_index={self.ignore_index} does not fit into 16 bits'
            )
        if not seeds:
            raise ValueError('LinearHeadIoU: seeds must name at least one seed')
        self.schedule: dict[str, Any] = dict(
            num_epochs=num_epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            milestones=list(milestones),
            seeds=list(seeds),
        )
        self.settings = dict(self.schedule, num_draws=num_draws, absent=absent)
        loader = dict(train_dataloader, persistent_workers=False)
        self.passes = [
            TrainingImages(
                loader, [dict(type='mmcroc.FixedDraw', draw=draw, transforms=train_pipeline)]
            )
            for draw in range(num_draws)
        ]
        self.max_gib = max_gib
        self.kept: KeptTokens | None = None

    def begin_fit(self) -> None:
        """Forget tokens and heads."""
        self.heads, self.kept = None, None
        self.began, self.seen = time.perf_counter(), [0] * len(self.passes)

    @torch.no_grad()
    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Keep an image's tokens and labels.

        Raises:
            ValueError: The tokens of all images would take more than ``max_gib``, differ in size or
                do not fit into float16, or as :meth:`process`.
        """
        tokens, mask = self._tokens(sample, name), self._labels(sample, name)
        if self.kept is None:
            self.kept, self.device = self._room(self.passes[turn], tokens, mask), tokens.device
        self._check_fit(self.kept, tokens, mask, name)
        if self.seen[turn] < self.kept.tokens.shape[1]:
            self.kept.put(turn, self.seen[turn], tokens, mask)
        self.seen[turn] += 1

    def end_fit(self) -> None:
        """Train the heads. Every rank must call.

        Raises:
            ValueError: There are fewer images than a batch takes, the sampler does not give each
                rank its share, or a head diverges.
        """
        assert self.kept is not None  # there was an image
        share = self.kept.tokens.shape[1]
        for number in self.seen:
            if number != share:
                raise ValueError(
                    f'{self.protocol}: rank {get_rank()} got {number} of its {share} training '
                    'images: train_dataloader needs drop_last=False, and sampler='
                    'dict(type="DefaultSampler", shuffle=False, round_up=False) or none'
                )
        seconds = time.perf_counter() - self.began
        kept, schedule = self.kept, self.schedule
        heads = initial_heads(
            schedule['seeds'], len(self.classes), kept.tokens.shape[-1], self.device
        )
        steps = schedule['num_epochs'] * (self.num_train_images // schedule['batch_size'])
        progress = Progress(f'{self.protocol}, heads', steps)
        losses = train_linear_heads(
            kept,
            heads,
            self.num_train_images,
            ignore_index=self.ignore_index,
            on_step=progress.step,
            **schedule,
        )
        if not bool(losses.isfinite().all() and heads.weight.isfinite().all()):
            raise ValueError(
                f'{self.protocol}: the heads diverged, losses {losses.tolist()}: lower lr'
            )
        self.heads, self.kept = heads, None
        log(
            f'{self.protocol}: tokens of {len(self.passes)} x {self.num_train_images} images '
            f'in {seconds:.1f} s, {len(schedule["seeds"])} heads in '
            f'{time.perf_counter() - self.began - seconds:.1f} s, loss {float(losses.mean()):.4f}'
        )

    def _room(self, images: TrainingImages, tokens: Tensor, mask: Tensor) -> KeptTokens:
        """Room for this rank's tokens, sized by the first image's."""
        size = images.size
        if self.schedule['batch_size'] > size:
            raise ValueError(
                f'{self.protocol}: a batch of {self.schedule["batch_size"]} images cannot be drawn '
                f'from {size} training images: set test_evaluator.batch_size to at most {size}'
            )
        share = len(range(get_rank(), size, get_world_size()))
        shape = len(self.passes), share, len(tokens), tokens.shape[1:], mask.shape
        needed = KeptTokens.gibibytes(*shape)
        if needed > self.max_gib:
            raise ValueError(
                f'{self.protocol}: tokens of {share} images, {len(self.passes)} crops each, take '
                f'{needed:.1f} GiB of main memory, more than max_gib={self.max_gib}: lower '
                'num_draws, take fewer images (train_dataloader.dataset.indices) or raise max_gib'
            )
        return KeptTokens(*shape)

    def _check_fit(self, kept: KeptTokens, tokens: Tensor, mask: Tensor, name: str) -> None:
        """Refuse tokens of another size than the first image's, or too large for float16."""
        if (tokens.shape[1:], mask.shape) != (kept.grid, kept.labels.shape[2:]):
            raise ValueError(
                f'{self.protocol}: {name} gives {tuple(tokens.shape[1:])} tokens and a mask of '
                f'{tuple(mask.shape)}, the images before it {tuple(kept.grid)} and '
                f'{tuple(kept.labels.shape[2:])}: train_pipeline has to give one size'
            )
        require_half(tokens, name, self.protocol)
