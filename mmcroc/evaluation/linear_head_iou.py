"""Linear evaluation from kept tokens: the backbone sees each crop once, whatever the epochs."""

import time

import torch
from mmengine.logging import MMLogger

from mmcroc.evaluation.linear_iou import LinearIoU
from mmcroc.evaluation.training_images import Progress, TrainingImages
from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.numerics.linear_heads import KeptTokens, initial_heads, train_linear_heads
from mmcroc.registry import METRICS


@METRICS.register_module()
class LinearHeadIoU(LinearIoU):
    """Mean IoU of linear heads that are trained by SGD on kept tokens, for several seeds.

    :meth:`fit` draws every training image a few times (crop, flip), keeps the tokens of these
    draws in half precision in main memory, and trains a head per seed on them: epoch e takes draw
    e mod ``num_draws``. With as many draws as epochs this is the usual linear evaluation; with few
    it takes the fraction of its time. Draws are a function of (image, draw), orders and first
    weights of the seed.

    Reference: Ziegler and Asano, *Self-supervised learning of object parts for semantic
    segmentation* (Leopart), CVPR 2022, for head and schedule.

    Args:
        train_dataloader (dict): Labelled training images. By default ranks share them without
            repetition.
        train_pipeline (list): Transforms of these images: all crops of one size, all masks too.
        num_draws (int): Draws of each image that are kept.
        num_epochs (int): Of the schedule.
        batch_size (int): Images of a step, over all ranks.
        lr (float): Learning rate.
        momentum (float): Of SGD.
        weight_decay (float): Of SGD.
        milestones (Sequence[int]): Epochs that begin with a tenth of the rate.
        seeds (Sequence[int]): A head is trained for each.
        max_gib (float): The most main memory that a process may keep tokens in, GiB.
        absent (str): As for :class:`ClusteringIoU`.
        protocol (str): As for :class:`TokenMetric`, like the rest.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader,
        train_pipeline,
        num_draws=2,
        num_epochs=25,
        batch_size=120,
        lr=0.01,
        momentum=0.9,
        weight_decay=1e-4,
        milestones=(20,),
        seeds=(0, 1, 2),
        max_gib=16,
        absent='zero',
        protocol='linear-cached',
        **kwargs,
    ):
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
        self.schedule = dict(
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
        self.draws = [
            TrainingImages(
                loader, [dict(type='mmcroc.FixedDraw', draw=draw, transforms=train_pipeline)]
            )
            for draw in range(num_draws)
        ]
        self.max_gib = max_gib

    def fit(self, model):
        """Keep the training images' tokens and train the heads on them.

        Args:
            model (nn.Module): As evaluated. Every rank must call.

        Raises:
            ValueError: There are fewer images than a batch takes, their tokens would take more
                than ``max_gib``, differ in size or do not fit into float16, the sampler does not
                give each rank its share, a head diverges, or as :meth:`process`.
        """
        began = time.perf_counter()
        kept, device = self._keep(model)
        seconds = time.perf_counter() - began
        schedule = self.schedule
        heads = initial_heads(schedule['seeds'], len(self.classes), kept.tokens.shape[-1], device)
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
        self.heads = heads
        if get_rank() == 0:
            MMLogger.get_current_instance().info(
                f'{self.protocol}: tokens of {len(self.draws)} x {self.num_train_images} images '
                f'in {seconds:.1f} s, {len(schedule["seeds"])} heads in '
                f'{time.perf_counter() - began - seconds:.1f} s, loss {float(losses.mean()):.4f}'
            )

    @torch.no_grad()
    def _keep(self, model):
        """This rank's tokens and labels, and the device that tokens come from."""
        kept = device = share = None
        for draw, images in enumerate(self.draws):
            purpose = f'{self.protocol}, draw {draw + 1} of {len(self.draws)}'
            number = 0
            for _, name, sample in images.through(model, purpose):
                tokens, mask = self._tokens(sample, name), self._labels(sample, name)
                if kept is None:
                    kept, device = self._room(images, tokens, mask), tokens.device
                    share = kept.tokens.shape[1]
                self._check_fit(kept, tokens, mask, name)
                if number < share:
                    kept.put(draw, number, tokens, mask)
                number += 1
            if not number:
                raise self._no_training_image()
            if number != share:
                raise ValueError(
                    f'{self.protocol}: rank {get_rank()} got {number} of its {share} training '
                    'images: train_dataloader needs drop_last=False, and sampler='
                    'dict(type="DefaultSampler", shuffle=False, round_up=False) or none'
                )
        self.num_train_images = int(all_reduce_sum(torch.tensor(number)))
        return kept, device

    def _room(self, images, tokens, mask):
        size = images.size
        share = len(range(get_rank(), size, get_world_size()))
        shape = len(self.draws), share, len(tokens), tokens.shape[1:], mask.shape
        needed = KeptTokens.gibibytes(*shape)
        if needed > self.max_gib:
            raise ValueError(
                f'{self.protocol}: tokens of {share} images, drawn {len(self.draws)} times, take '
                f'{needed:.1f} GiB of main memory, more than max_gib={self.max_gib}: lower '
                'num_draws, take fewer images (train_dataloader.dataset.indices) or raise max_gib'
            )
        return KeptTokens(*shape)

    def _check_fit(self, kept, tokens, mask, name):
        if (tokens.shape[1:], mask.shape) != (kept.grid, kept.labels.shape[2:]):
            raise ValueError(
                f'{self.protocol}: {name} gives {tuple(tokens.shape[1:])} tokens and a mask of '
                f'{tuple(mask.shape)}, the images before it {tuple(kept.grid)} and '
                f'{tuple(kept.labels.shape[2:])}: train_pipeline has to give one size'
            )
        largest = float(tokens.abs().max())
        if largest > torch.finfo(torch.float16).max:
            raise ValueError(
                f'{self.protocol}: features of {name}, up to {largest:.3g}, do not fit into float16'
            )
