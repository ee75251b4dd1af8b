"""What the probes of frozen patch tokens share: the patches that are kept, the choice of settings.

Reference: Darcet et al., *Cluster and predict latent patches for improved masked image modeling*
(CAPI), 2025, and its released evaluation.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmcroc.evaluation.fitted_iou import FittedIoU
from mmcroc.evaluation.progress import Progress
from mmcroc.evaluation.token_metric import iou_table, log, require_half
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import all_reduce_sum
from mmcroc.numerics.matching import confusion_matrices, intersection_over_union, mean_iou
from mmcroc.numerics.patch_memory import patch_label_counts
from mmcroc.numerics.pca import RunningMoments

#: Tokens standardised at once.
CHUNK = 65536


class PatchProbeIoU(FittedIoU):
    """Base of the probes that are fitted on patches of training images.

    Training images come once, without augmentation. Their tokens are standardised channel by
    channel; a patch has the most frequent label of its pixels, and is left out where that is
    ``ignore_index``. Every rank keeps the patches of all images in main memory, in half precision.
    Of several candidate settings the one with the best mean IoU on held-out training images is
    taken (classes without pixels left out of the mean), the first of equals.

    Args:
        train_dataloader: Labelled training images, in a fixed order and without augmentation. By
            default ranks share them without repetition.
        candidates: Settings to choose from.
        held_out: Share of the training images that is held out to choose by.
        tokens_per_image: Most patches that are kept of an image, drawn at random; None: all.
        max_gib: Most main memory that a process may keep patches in, GiB.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        seed: Seed of the held-out images and of ``tokens_per_image``.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.

    Attributes:
        chosen: The settings that were chosen, once the probe is fitted.
        held_out_miou: Mean IoU of each candidate on the held-out images, percent; empty if there
            was nothing to choose.
    """

    #: Whether the chosen settings are fitted again, to the held-out images as well.
    refits = True
    #: Whether the patches stay, with the labels of all their pixels, to be compared with others.
    remembers = False

    def __init__(
        self,
        train_dataloader: dict,
        candidates: Sequence[dict[str, Any]],
        held_out: float,
        tokens_per_image: int | None,
        max_gib: float,
        absent: str,
        seed: int,
        protocol: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, absent, **kwargs)
        name = type(self).__name__
        if not candidates:
            raise ValueError(f'{name}: there are no settings to choose from')
        if not 0 < held_out < 1:
            raise ValueError(f'{name}: held_out must lie between 0 and 1, got {held_out}')
        if tokens_per_image is not None and tokens_per_image < 1:
            raise ValueError(
                f'{name}: tokens_per_image must be at least 1, or None, got {tokens_per_image}'
            )
        self.passes = [TrainingImages(train_dataloader)]
        self.candidates = list(candidates)
        self.held_out, self.tokens_per_image = held_out, tokens_per_image
        self.max_gib, self.seed = max_gib, seed
        self.settings: dict[str, Any] = dict(
            held_out=held_out, tokens_per_image=tokens_per_image, absent=absent, seed=seed
        )
        self.begin_fit()

    def begin_fit(self) -> None:
        """Forget what was learnt before."""
        self.chosen: list[dict[str, Any]] = []
        self.held_out_miou: list[float] = []
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self.held: list[tuple[int, Tensor, Tensor]] = []
        self.moments: RunningMoments | None = None
        self.tokens = self.labels = torch.empty(0)
        self.block, self.is_held = (0, 0), torch.empty(0)

    @torch.no_grad()
    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Keep an image's patches.

        Raises:
            ValueError: The patches of all images would take more than ``max_gib``, patches are no
                whole pixels or differ in size, features do not fit into float16, or as
                :meth:`process`.
        """
        tokens = self._tokens(sample, name)
        mask = self._mask(sample, name).to(tokens.device)
        if number >= self.passes[turn].size:  # repeated by the sampler
            return
        block = self._block(tokens, mask, name)
        if self.moments is None:
            self._start(turn, tokens, block)
        assert self.moments is not None
        if block != self.block:
            raise ValueError(
                f'{self.protocol}: a patch of {name} has {block} pixels, one of the images before '
                f'it {self.block}: the pipeline has to give one size'
            )
        rows = tokens.flatten(1).T
        if number not in self.held_numbers:
            self.moments.update(rows)
        require_half(tokens, name, self.protocol)
        half = tokens.to('cpu', torch.float16)
        if number in self.held_numbers:
            self.held.append((number, half, mask.to('cpu', self.label_dtype)))
        counts = patch_label_counts(mask, tokens.shape[1:], len(self.classes), self.ignore_index)
        pixels, most = counts.max(1)
        places = torch.nonzero(pixels >= block[0] * block[1] - counts.sum(1))[:, 0]
        if self.tokens_per_image is not None and len(places) > self.tokens_per_image:
            keys = counter_uniform(number * len(most) + places, self.seed)
            places = places[keys.argsort()[: self.tokens_per_image].sort().values]
        labels = (patch_pixels(mask, block) if self.remembers else most[:, None])[places]
        self.kept[number] = half.flatten(1).T[places.cpu()], labels.to('cpu', self.label_dtype)

    @property
    def label_dtype(self) -> torch.dtype:
        """The smallest integers that hold all labels."""
        return torch.uint8 if max(self.ignore_index, len(self.classes) - 1) < 256 else torch.int32

    def _block(self, tokens: Tensor, mask: Tensor, name: str) -> tuple[int, int]:
        """Pixels of a patch, rows and columns."""
        (rows, columns), (height, width) = tokens.shape[1:], mask.shape
        if height % rows or width % columns:
            raise ValueError(
                f'{self.protocol}: {rows}x{columns} tokens do not divide the mask of {name}, '
                f'{height}x{width} pixels: give an image size that is a multiple of the stride'
            )
        return height // rows, width // columns

    def _start(self, turn: int, tokens: Tensor, block: tuple[int, int]) -> None:
        """Prepare for so many images as there are."""
        size, dim = self.passes[turn].size, len(tokens)
        patches = min(self.tokens_per_image or tokens[0].numel(), tokens[0].numel())
        labels = block[0] * block[1] if self.remembers else 1
        gib = size * patches * (2 * dim + labels * self.label_dtype.itemsize) / 2**30
        if gib > self.max_gib:
            raise ValueError(
                f'{self.protocol}: {patches} patches of each of {size} images take {gib:.1f} GiB '
                f'of main memory, more than max_gib={self.max_gib}: set tokens_per_image, take '
                'fewer images (train_dataloader.dataset.indices) or raise max_gib'
            )
        number = int(size * self.held_out) if len(self.candidates) > 1 else 0
        if len(self.candidates) > 1 and not number:
            raise ValueError(
                f'{self.protocol}: of {size} training images none is held out to choose settings '
                f'by (held_out={self.held_out}): give more images, or one setting of each kind'
            )
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed))
        self.held_numbers = set(order[:number].tolist())
        self.moments = RunningMoments(dim, tokens.device)
        self.block, self.device, self.size = block, tokens.device, size

    @torch.no_grad()
    def end_fit(self) -> None:
        """Choose settings and fit them. Every rank must call.

        Raises:
            ValueError: No patch has a label, or none of the held-out images.
        """
        began = time.perf_counter()
        self._gather()
        fit_on = ~self.is_held
        if not bool(fit_on.any()):
            raise ValueError(f'{self.protocol}: no token with a label: all are ignored')
        self.train(self.candidates, fit_on)
        self.best = 0
        if len(self.candidates) > 1:
            self.held_out_miou = self._held_out_scores()
            self.best = int(torch.tensor(self.held_out_miou).argmax())
        self.chosen = [self.candidates[self.best]]
        if self.refits and len(self.candidates) > 1:
            self.train(self.chosen, torch.ones_like(fit_on))
        self.held = []
        if not self.remembers:
            self.tokens = self.labels = torch.empty(0)
        log(
            f'{self.protocol}: {len(self.is_held)} patches of {self.num_train_images} images, '
            f'{self.chosen[0]} of {len(self.candidates)}, in {time.perf_counter() - began:.1f} s'
        )

    def _gather(self) -> None:
        """Give every rank the patches of all images in their order, standardised."""
        assert self.moments is not None  # there was an image
        moments = self.moments.all_reduce()
        self.mean, self.std = moments.mean.float(), moments.std.float()
        counts = torch.zeros(self.size, dtype=torch.long)
        for number, (rows, _) in self.kept.items():
            counts[number] = len(rows)
        counts = all_reduce_sum(counts)
        ends = counts.cumsum(0)
        width = self.block[0] * self.block[1] if self.remembers else 1
        tokens = torch.zeros(int(ends[-1]), len(self.mean), dtype=torch.float16)
        labels = torch.zeros(len(tokens), width, dtype=self.label_dtype)
        for number in list(self.kept):
            place = slice(int(ends[number] - counts[number]), int(ends[number]))
            tokens[place], labels[place] = self.kept.pop(number)
        mean, std = self.mean.cpu(), self.std.cpu()
        for start in range(0, len(tokens), CHUNK):
            place = slice(start, start + CHUNK)
            # Rows of other ranks are zero here; after the sum they are theirs.
            tokens[place] = all_reduce_sum(tokens[place])
            labels[place] = all_reduce_sum(labels[place])
            tokens[place] = (tokens[place].float() - mean) / std
        images = torch.repeat_interleave(torch.arange(self.size), counts)
        held = torch.tensor(sorted(self.held_numbers), dtype=torch.long)
        self.is_held = torch.isin(images, held)
        self.tokens, self.labels = (self._placed(whole) for whole in (tokens, labels))

    def _placed(self, tensor: Tensor) -> Tensor:
        """A tensor on the tokens' device if it leaves half of the free memory, else as it is."""
        if self.device.type != 'cuda':
            return tensor
        free = torch.cuda.mem_get_info(self.device)[0]
        return tensor.to(self.device) if tensor.nbytes < free / 2 else tensor

    def _held_out_scores(self) -> list[float]:
        """Mean IoU of each candidate on the held-out images of all ranks, percent."""
        classes = len(self.classes)
        counts = torch.zeros(len(self.candidates), classes, classes, dtype=torch.long)
        progress = Progress(f'{self.protocol}, held-out images', len(self.held))
        for _, tokens, mask in self.held:
            maps = self.predict(tokens.to(self.device), mask.shape)
            mask = mask.to(maps.device)
            counts += confusion_matrices(maps, mask, classes, classes, self.ignore_index).cpu()
            progress.step()
        counts = all_reduce_sum(counts)
        if not int(counts[0].sum()):
            raise ValueError(
                f'{self.protocol}: no pixel of the held-out images has a label: change seed, or '
                'give more training images'
            )
        return [100 * float(mean_iou(intersection_over_union(each, 'nan'))) for each in counts]

    def standardised(self, tokens: Tensor) -> Tensor:
        """Standardised rows, float32 (h·w, C), of an image's tokens (C, h, w)."""
        mean, std = self.mean.to(tokens.device), self.std.to(tokens.device)
        return (tokens.flatten(1).T.float() - mean) / std

    def train(self, candidates: Sequence[dict[str, Any]], fit_on: Tensor) -> None:
        """Fit candidates to the patches where ``fit_on`` (N,) is true. Every rank must call."""
        raise NotImplementedError

    def predict(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Classes (S, H, W) that the S trained candidates give an image's tokens (C, h, w)."""
        raise NotImplementedError

    @torch.no_grad()
    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Classify an image's tokens (C, h, w) and count its pixels against its mask (H, W)."""
        if not self.chosen:
            raise RuntimeError(
                f'{self.protocol}: no probe was fitted; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        maps = self.predict(tokens, mask.shape)
        if not self.refits:  # the chosen first, for the report and the examples
            maps = torch.cat([maps[self.best][None], maps])
        self.count(number, maps, mask)

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        began = time.perf_counter()
        self.report = self._report(size)
        candidates = [
            dict(settings, held_out_mIoU=miou)
            for settings, miou in zip(self.candidates, self.held_out_miou, strict=False)
        ]
        self.report['settings'] = dict(
            self.settings,
            chosen=self.chosen[0] if self.chosen else None,
            candidates=candidates or self.candidates,
            num_train_images=self.num_train_images,
            num_patches=len(self.is_held),
        )
        self.report['seconds'] = time.perf_counter() - began
        log(
            f'{self.protocol}: fitted on {self.num_train_images} images, scored on {size}\n'
            f'{iou_table(self.report)}'
        )
        return self.report['metrics']

    def _report(self, size: int) -> dict[str, Any]:
        """The report of the chosen settings."""
        return self.count_report(size)


def patch_pixels(mask: Tensor, block: tuple[int, int]) -> Tensor:
    """Labels of the pixels of each patch, row by row: (h·w, p·q) of a mask (h·p, w·q)."""
    rows, columns = mask.shape[0] // block[0], mask.shape[1] // block[1]
    return mask.view(rows, block[0], columns, block[1]).transpose(1, 2).reshape(rows * columns, -1)


def pixel_map(pixels: Tensor, grid: Sequence[int], block: tuple[int, int]) -> Tensor:
    """Map (..., h·p, w·q) of what the pixels of each patch have, (..., h·w, p·q)."""
    parts = pixels.unflatten(-1, block).unflatten(-3, tuple(grid)).transpose(-3, -2)
    return parts.flatten(-4, -3).flatten(-2)
