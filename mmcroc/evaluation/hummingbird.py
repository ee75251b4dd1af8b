"""Dense nearest neighbours in context: labelled patches of training images vote (hummingbird)."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.evaluation.fitted_iou import FittedIoU
from mmcroc.evaluation.low_shot import SEEDS, balanced_sample, class_presence, listed_images
from mmcroc.evaluation.token_metric import iou_table, log, mean_and_spread
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.numerics.matching import match_hungarian, match_identity, merge_clusters
from mmcroc.numerics.patch_memory import (
    MemoryLayout,
    PatchMemory,
    patch_frequencies,
    patch_label_counts,
)
from mmcroc.registry import METRICS

VOID = 255
#: Queries that wait to be searched together.
_QUERIES = 2**13
#: Memory of a GPU that is left to all else, bytes.
_LEFT_FREE = 6 * 2**30
_MATCHINGS = {'hungarian': match_hungarian, 'none': match_identity}


@METRICS.register_module()
class HummingbirdIoU(FittedIoU):
    """Mean IoU of patches that take the labels of their nearest patches of training images.

    A memory holds L2-normalised tokens of training images, each with the share of each class among
    its pixels. A token q of an evaluated image gets the shares Σ_j softmax_j(cos(q, m_j) / β) y_j
    of its k nearest ones; shares are interpolated (bilinear) to the mask, and the greatest decides.
    The search is exact.

    A bounded memory keeps K = max(1, memory_size // (images · passes)) patches of an image and
    pass, at most all: those of least (patches of the image that show a class, summed over the
    classes in the patch) times a random number, a function of (image, pass, patch).

    Several fractions of the training images are scored at once: a patch is passed through the
    model, stored and multiplied once. Reported are scores after Hungarian matching of predicted to
    true classes, which the reference does although predictions carry classes, and without.

    The memory lies on the GPU where it fits, else in main memory, else in a file. All ranks fill it
    together; each holds all of it (a file is shared).

    Reference: Balazevic et al., *Towards in-context scene understanding*, NeurIPS 2023; Pariza et
    al., *open-hummingbird-eval*, 2024, whose version 2.0.0 the defaults follow.

    Args:
        train_dataloader: Labelled training images. By default ranks share them without repetition.
        train_pipeline: Transforms of these images in place of the data set's, sampled anew in each
            pass: all to one size.
        num_passes: Number of passes over the training images.
        memory_size: Most patches to keep, over all passes. Default: all patches.
        num_neighbours: Number k of neighbours; all where the memory holds fewer.
        temperature: Temperature β of the neighbours' weights.
        void_class: Class that the memory counts void pixels (255) as: 0 in the reference. None
            leaves them out, and patches without another pixel are not kept.
        matching: Matching behind ``mIoU``: 'hungarian', or 'none'. The other is reported beside it.
        fractions: Denominators of the fractions of training images to score, 1 for all; the first
            one is the ``mIoU``, others are ``mIoU_1_8``.
        low_shot: Lists of the images of fractions: 'voc' (trainaug), 'ade20k' (training), or a
            folder laid out like open-hummingbird-eval's. Default: an own sample balanced by class;
            its scores are named ``mIoU_1_8_sampled``.
        seeds: Seeds of the lists or samples; a fraction's score is their mean, with its spread.
        memory_dtype: Type of the memory and of the tokens compared with it: 'float32', 'float16' or
            'bfloat16'. Products are summed in float32.
        max_gib: Most main memory that the memory may take, GiB.
        memory_dir: Folder for a file that a larger memory is mapped from.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        train_pipeline: list[dict] | None = None,
        num_passes: int = 1,
        memory_size: int | None = None,
        num_neighbours: int = 30,
        temperature: float = 0.02,
        void_class: int | None = 0,
        matching: str = 'hungarian',
        fractions: Sequence[int] = (1,),
        low_shot: str | None = None,
        seeds: Sequence[int] = SEEDS,
        memory_dtype: str = 'float32',
        max_gib: float = 16,
        memory_dir: str | None = None,
        absent: str = 'zero',
        protocol: str = 'hummingbird',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, absent, **kwargs)
        numbers = dict(num_passes=num_passes, num_neighbours=num_neighbours)
        numbers |= dict(memory_size=1 if memory_size is None else memory_size)
        numbers |= dict(number_of_seeds=len(seeds), least_fraction=min(fractions, default=0))
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f'HummingbirdIoU: {name} must be at least 1, got {value}')
        if not temperature > 0:
            raise ValueError(f'HummingbirdIoU: temperature must be positive, got {temperature}')
        if matching not in _MATCHINGS:
            raise ValueError(f"HummingbirdIoU: matching must be 'hungarian' or 'none': {matching}")
        if memory_dtype not in ('float32', 'float16', 'bfloat16'):
            raise ValueError(
                f'HummingbirdIoU: memory_dtype must be float32, float16 or bfloat16: {memory_dtype}'
            )
        if num_passes > 1 and train_pipeline is None:
            raise ValueError(
                f'HummingbirdIoU: num_passes={num_passes} need a train_pipeline, which is sampled '
                'anew in each pass; without one all passes are the same'
            )
        if memory_dir is not None and not Path(memory_dir).is_dir():
            raise ValueError(f'HummingbirdIoU: memory_dir={memory_dir} is no folder: make it first')
        self.settings: dict[str, Any] = dict(
            num_passes=num_passes,
            memory_size=memory_size,
            num_neighbours=num_neighbours,
            temperature=temperature,
            void_class=void_class,
            matching=matching,
            fractions=list(fractions),
            low_shot=low_shot,
            seeds=list(seeds),
            memory_dtype=memory_dtype,
            absent=absent,
            ignore_index=self.ignore_index,
            search='exact',
        )
        self.max_gib, self.memory_dir = max_gib, memory_dir
        self.pipeline = train_pipeline
        if train_pipeline is None:
            self.passes = [TrainingImages(train_dataloader)]
        else:
            self.passes = [
                TrainingImages(
                    dict(train_dataloader, persistent_workers=False),
                    [dict(type='mmcroc.FixedDraw', draw=turn, transforms=train_pipeline)],
                )
                for turn in range(num_passes)
            ]
        self._other = 'unmatched' if matching == 'hungarian' else 'matched'
        #: (fraction, seed or None) of each search.
        self.searches: list[tuple[int, int | None]] = [
            (fraction, seed)
            for fraction in fractions
            for seed in (seeds if fraction > 1 else [None])
        ]
        self.memory: PatchMemory | None = None

    def reset(self) -> None:
        """Forget all evaluated images."""
        super().reset()
        self.waiting: list[tuple[int, Tensor, Tensor]] = []

    def begin_fit(self) -> None:
        """Forget the memory."""
        self.memory, self.began = None, time.perf_counter()
        self.seen = [0] * len(self.passes)

    @torch.no_grad()
    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Keep an image's patches.

        Raises:
            ValueError: The memory would not fit, holds less than a patch of each image, images
                differ in size, or as :meth:`process`.
        """
        tokens, mask = self._tokens(sample, name), self._mask(sample, name, VOID)
        if self.memory is None:
            self.grid, self.device = tokens.shape[1:], tokens.device
            self.memory = self._room(len(tokens))
        if tokens.shape[1:] != self.grid:
            raise ValueError(
                f'{self.protocol}: {name} gives {tuple(tokens.shape[1:])} tokens, the images '
                f'before it {tuple(self.grid)}: the training pipeline has to give one size'
            )
        if number >= self.num_images:  # repeated, to make the ranks' shares equal
            return
        void_class = self.settings['void_class']
        counts = patch_label_counts(
            mask.to(self.device), self.grid, len(self.classes), VOID, void_class
        )
        order = torch.arange(len(counts), device=self.device)
        if self.settings['memory_size'] is not None:
            scores = patch_frequencies(counts) * self._uniform(turn, number, len(counts))
            order = scores.argsort()
        if void_class is None:
            order = order[counts[order].any(1)]
        self.memory.put(turn, number, tokens.flatten(1).T, counts, order)
        self.seen[turn] += 1

    def end_fit(self) -> None:
        """Unite the ranks' patches. Every rank must call.

        Raises:
            ValueError: Images are missing, or a search has no labelled patch.
        """
        assert self.memory is not None  # there was an image
        for turn, number in enumerate(self.seen):
            counted = int(all_reduce_sum(torch.tensor(number)))
            if counted != self.num_images:
                raise ValueError(
                    f'{self.protocol}: {counted} of {self.num_images} training images were seen in '
                    f'pass {turn}: train_dataloader needs drop_last=False, and sampler='
                    'dict(type="DefaultSampler", shuffle=False, round_up=False) or none'
                )
        self.memory.finish()
        self.rows = self.memory.rows_of_searches()
        for (fraction, seed), rows in zip(self.searches, self.rows, strict=True):
            if not rows:
                raise ValueError(
                    f'{self.protocol}: no patch of the training images (1/{fraction}, seed {seed}) '
                    f'has a label: all pixels are {VOID}'
                )
        self.memory_seconds = time.perf_counter() - self.began
        log(
            f'{self.protocol}: memory of {len(self.memory.features)} patches of {self.num_images} '
            f'images on {"disk" if self.memory.mapped else self.memory.features.device.type}, '
            f'{self.memory_seconds:.1f} s'
        )

    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Classify an image's tokens (C, h, w) and count its pixels against its mask (H, W)."""
        if self.memory is None:
            raise RuntimeError(
                f'{self.protocol}: no memory was filled; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        self.waiting.append((number, tokens, mask))
        if sum(tokens[0].numel() for _, tokens, _ in self.waiting) >= _QUERIES:
            self._search()

    @torch.no_grad()
    def _search(self) -> None:
        """Classify the images that wait."""
        if not self.waiting:
            return
        assert self.memory is not None
        waiting, self.waiting = self.waiting, []
        shares = self.memory.label_shares(
            torch.cat([tokens.flatten(1).T for _, tokens, _ in waiting]),
            self.settings['num_neighbours'],
            self.settings['temperature'],
        ).split([tokens[0].numel() for _, tokens, _ in waiting], dim=1)
        for (number, tokens, mask), share in zip(waiting, shares, strict=True):
            maps = share.mT.unflatten(2, tokens.shape[1:])
            predictions = [
                # On a CPU, argmax over a dimension that is not the last takes 15 times as long.
                F.interpolate(map_[None], mask.shape, mode='bilinear')[0].max(0).indices
                for map_ in maps
            ]
            self.count(number, torch.stack(predictions), mask)

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        self._search()
        counts = self.total_counts(size, len(self.searches))
        by_fraction = {
            fraction: self._fraction_report(
                counts[[i for i, (own, _) in enumerate(self.searches) if own == fraction]]
            )
            for fraction in self.settings['fractions']
        }
        main = self.settings['fractions'][0]
        metrics: dict[str, float] = {}
        for fraction, report in by_fraction.items():
            end = '' if fraction == main else self._suffix(fraction)
            for name, value in report['metrics'].items():
                measure, _, kind = name.partition('_')
                metrics[f'{measure}{end}{"_" + kind if kind else ""}'] = value
        self.report = dict(by_fraction[main], metrics=metrics)
        self.report['fractions'] = {
            ('1' if fraction == 1 else self._suffix(fraction)[1:]): report
            for fraction, report in by_fraction.items()
        }
        self.report |= dict(num_images=size, ranks=get_world_size())
        rows = dict(zip(self.searches, self.rows, strict=True))
        self.report['settings'] = dict(
            self.settings,
            low_shot=self.settings['low_shot'] or 'sampled, balanced by class',
            num_train_images=self.num_train_images,
            patches_in_memory=[rows[search] for search in self.searches],
        )
        self.report['memory_seconds'] = self.memory_seconds
        scores = '; '.join(
            f'{name}: {mean_and_spread(report["mIoU_per_seed"])}, {self._other} '
            f'{mean_and_spread(report[f"mIoU_{self._other}_per_seed"])}'
            for name, report in self.report['fractions'].items()
        )
        log(
            f'{self.protocol}: memory of {self.num_train_images} images, scored on {size}\n'
            f'{iou_table(self.report)}\nmIoU by fraction: {scores}'
        )
        self.memory = None  # gigabytes
        return metrics

    def _fraction_report(self, counts: Tensor) -> dict[str, Any]:
        """The report of one fraction's confusion matrices (S, C, C), matched and unmatched."""
        reports = {
            name: self.report_of(
                torch.stack([merge_clusters(each, match(each)) for each in counts])
            )
            for name, match in _MATCHINGS.items()
        }
        matched, unmatched = reports['hungarian'], reports['none']
        hungarian = self.settings['matching'] == 'hungarian'
        report, other = (matched, unmatched) if hungarian else (unmatched, matched)
        report['metrics'][f'mIoU_{self._other}'] = other['metrics']['mIoU']
        report[f'mIoU_{self._other}_per_seed'] = other['mIoU_per_seed']
        return report

    def _suffix(self, fraction: int) -> str:
        sampled = '' if fraction == 1 or self.settings['low_shot'] else '_sampled'
        return f'_1_{fraction}{sampled}'

    def _uniform(self, turn: int, number: int, patches: int) -> Tensor:
        """Random numbers of an image's patches in a pass (patches,)."""
        index = torch.arange(patches, device=self.device) + number * patches
        return counter_uniform(index, seed=0, stream=turn).float()

    def _members(self) -> Tensor:
        """Images of each search, bool (S, N)."""
        images, lists = self.passes[0], self.settings['low_shot']
        members = torch.ones(len(self.searches), self.num_images, dtype=torch.bool)
        if all(seed is None for _, seed in self.searches):
            return members
        if lists is None:
            assert images.config is not None
            pipeline = self.pipeline or images.config['pipeline']
            presence = class_presence(images, pipeline, len(self.classes))
        names = images.names() if lists else []
        for search, (fraction, seed) in enumerate(self.searches):
            if seed is not None and lists is None:
                number = self.num_images // fraction
                if not number:
                    raise ValueError(
                        f'{self.protocol}: 1/{fraction} of {self.num_images} training images is '
                        'less than one: leave this fraction out'
                    )
                members[search] = balanced_sample(presence, number, seed)
            elif seed is not None:
                members[search] = listed_images(lists, fraction, seed, names)
        return members

    def _room(self, dim: int) -> PatchMemory:
        """An empty memory, where it fits."""
        self.num_images = self.passes[0].size
        members, size = self._members(), self.settings['memory_size']
        patches, passes = self.grid.numel(), len(self.passes)
        per_image = [patches] * len(members)
        if size is not None:
            sources = members.sum(1) * passes
            if int(sources.max()) > size:
                raise ValueError(
                    f'{self.protocol}: memory_size={size} is less than a patch of each of '
                    f'{int(sources.max()) // passes} images in {passes} passes: raise it'
                )
            per_image = (size // sources).clamp(max=patches).tolist()
        layout = MemoryLayout(members, per_image, passes)
        dtype = getattr(torch, self.settings['memory_dtype'])
        needed = PatchMemory.gibibytes(layout, dim, len(self.classes), dtype)
        device, folder = self.device, None
        if device.type == 'cuda':
            held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            free = torch.cuda.mem_get_info(device)[0] + held - _LEFT_FREE
            if int(all_reduce_sum(torch.tensor(int(needed * 2**30 > free)))):
                device = torch.device('cpu')
        if device.type == 'cpu' and needed > self.max_gib:
            if self.memory_dir is None:
                raise ValueError(
                    f'{self.protocol}: a memory of {layout.num_rows} patches takes {needed:.1f} '
                    f'GiB of main memory, more than max_gib={self.max_gib}: name a memory_dir with '
                    "room for a file, set memory_dtype='float16', lower memory_size or raise "
                    'max_gib'
                )
            folder = self.memory_dir
        return PatchMemory(layout, dim, len(self.classes), dtype, device, folder)
