"""Probes of frozen patch tokens: nearest neighbours, logistic regression, linear heads.

The first two are those of Darcet et al., *Cluster and predict latent patches for improved masked
image modeling* (CAPI), 2025.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmcroc.evaluation.patch_probe import CHUNK, PatchProbeIoU, pixel_map
from mmcroc.evaluation.progress import Progress
from mmcroc.numerics.inner_product_search import Ranking, greatest_products
from mmcroc.numerics.linear_heads import LinearHeads
from mmcroc.numerics.neighbours import pixel_votes
from mmcroc.numerics.resize import nearest_resize
from mmcroc.numerics.softmax_regression import (
    LEFT_OUT,
    logistic_regression,
    num_joint_steps,
    train_jointly,
)
from mmcroc.registry import METRICS

#: CAPI's grid of inverse penalties: eight from 1e-6 to 1e5, evenly in the exponent.
STRENGTHS = tuple(10 ** (-6 + 11 * step / 7) for step in range(8))


@METRICS.register_module()
class KNNPatchIoU(PatchProbeIoU):
    """Mean IoU of a nearest-neighbour classifier of patches, as CAPI's.

    Every patch finds its nearest training patches, exactly; pixel by pixel their labels vote, the
    lowest class of several. Void pixels have no vote; where all are void, the whole patches vote.

    Args:
        train_dataloader: Labelled training images; see :class:`PatchProbeIoU`.
        num_neighbours: Numbers of neighbours to choose from.
        distances: Distances to choose from, 'cosine' and 'l2'.
        held_out: Share of the training images that is held out to choose by.
        tokens_per_image: Most patches that are kept of an image, drawn at random; None: all.
        max_gib: Most main memory that a process may keep patches in, GiB.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        seed: Seed of the held-out images and of ``tokens_per_image``.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    remembers = True

    def __init__(
        self,
        train_dataloader: dict,
        num_neighbours: Sequence[int] = (1, 3, 10, 30),
        distances: Sequence[str] = ('cosine', 'l2'),
        held_out: float = 0.1,
        tokens_per_image: int | None = None,
        max_gib: float = 32,
        absent: str = 'nan',
        seed: int = 0,
        protocol: str = 'knn-patch',
        **kwargs: Any,
    ) -> None:
        unknown = [name for name in distances if name not in ('cosine', 'l2')]
        if unknown:
            raise ValueError(f'KNNPatchIoU: distances are cosine and l2, got {unknown[0]!r}')
        if any(number < 1 for number in num_neighbours):
            raise ValueError(f'KNNPatchIoU: num_neighbours are at least 1, got {num_neighbours}')
        super().__init__(
            train_dataloader,
            [
                dict(distance=distance, num_neighbours=number)
                for distance in distances
                for number in sorted(num_neighbours)
            ],
            held_out, tokens_per_image, max_gib, absent, seed, protocol,
            **kwargs,
        )  # fmt: skip

    def train(self, candidates: Sequence[dict[str, Any]], fit_on: Tensor) -> None:
        """Remember which patches are neighbours of whom. Every rank must call.

        Raises:
            ValueError: There are fewer patches than neighbours are asked for.
        """
        wanted = max(settings['num_neighbours'] for settings in candidates)
        if wanted > int(fit_on.sum()):
            raise ValueError(
                f'{self.protocol}: {wanted} neighbours among {int(fit_on.sum())} training patches: '
                'ask for fewer, or give more training images'
            )
        self.distances: dict[str, list[int]] = {}
        for settings in candidates:
            self.distances.setdefault(settings['distance'], []).append(settings['num_neighbours'])
        parts = self.tokens.split(CHUNK)
        squares = torch.cat([part.float().square().sum(1) for part in parts])
        left_out = torch.where(fit_on.to(squares.device), 0, -torch.inf)
        rankings = {
            'cosine': Ranking(squares.clamp_min(1e-24).rsqrt(), left_out),
            'l2': Ranking(None, left_out - squares / 2),
        }
        self.rankings = [rankings[distance] for distance in self.distances]

    def predict(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Classes (S, H, W) that the neighbours of an image's tokens (C, h, w) vote for."""
        queries, maps = self.standardised(tokens), []
        wanted = max(max(numbers) for numbers in self.distances.values())
        _, found = greatest_products(queries, self.tokens, wanted, rankings=self.rankings)
        for numbers, places in zip(self.distances.values(), found, strict=True):
            labels = self.labels[places.to(self.labels.device)].to(queries.device)
            votes = pixel_votes(labels, numbers, len(self.classes), self.ignore_index)
            maps.append(pixel_map(votes, tokens.shape[1:], self.block))
        return nearest_resize(torch.cat(maps), *size)


@METRICS.register_module()
class LogregPatchIoU(PatchProbeIoU):
    """Mean IoU of a logistic regression on patches, as CAPI's.

    A softmax regression with an L2 penalty, fitted to the optimum by L-BFGS; all pixels of a patch
    get its class.

    Args:
        train_dataloader: Labelled training images; see :class:`PatchProbeIoU`.
        strengths: Inverse strengths C of the penalty to choose from, as scikit-learn's.
        max_iterations: Most iterations of L-BFGS.
        tolerance: Greatest entry of the gradient at which to stop.
        held_out: Share of the training images that is held out to choose by.
        tokens_per_image: Most patches that are kept of an image, drawn at random; None: all.
        max_gib: Most main memory that a process may keep patches in, GiB.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        seed: Seed of the held-out images and of ``tokens_per_image``.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        strengths: Sequence[float] = STRENGTHS,
        max_iterations: int = 1000,
        tolerance: float = 1e-4,
        held_out: float = 0.1,
        tokens_per_image: int | None = None,
        max_gib: float = 32,
        absent: str = 'nan',
        seed: int = 0,
        protocol: str = 'logreg-patch',
        **kwargs: Any,
    ) -> None:
        if any(strength <= 0 for strength in strengths):
            raise ValueError(f'LogregPatchIoU: strengths must be above 0, got {strengths}')
        super().__init__(
            train_dataloader,
            [dict(strength=strength) for strength in sorted(strengths)],
            held_out, tokens_per_image, max_gib, absent, seed, protocol,
            **kwargs,
        )  # fmt: skip
        self.settings |= dict(max_iterations=max_iterations, tolerance=tolerance)
        self.solver = dict(max_iterations=max_iterations, tolerance=tolerance)

    def train(self, candidates: Sequence[dict[str, Any]], fit_on: Tensor) -> None:
        """Fit the candidates, each from the one before. Every rank must call."""
        labels = _labels_of(self.labels, fit_on)
        found, start = [], None
        progress = Progress(f'{self.protocol}, strengths', len(candidates))
        for settings in candidates:
            start = logistic_regression(
                self.tokens,
                labels,
                len(self.classes),
                settings['strength'],
                start=start,
                device=self.device,
                **self.solver,  # type: ignore[arg-type]
            )
            found.append(start)
            progress.step()
        weights, biases = zip(*found, strict=True)
        self.heads = LinearHeads(torch.stack(weights).float(), torch.stack(biases).float())

    def predict(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Classes (S, H, W) of an image's tokens (C, h, w), constant over each patch."""
        standardised = self.standardised(tokens).T.unflatten(1, tokens.shape[1:])
        scores = self.heads.score_maps(standardised, tokens.shape[1:])
        return nearest_resize(scores.max(1).indices, *size)


@METRICS.register_module()
class LinearJointIoU(PatchProbeIoU):
    """Mean IoU of the best of several linear heads that see the same batches.

    A head per learning rate, trained by SGD on the same tokens in one go; the best on the held-out
    images is reported, and all beside it. Scores are interpolated (bilinear) to the mask.

    Args:
        train_dataloader: Labelled training images; see :class:`PatchProbeIoU`.
        learning_rates: First learning rates of the heads.
        num_epochs: Number of passes over the kept patches.
        batch_size: Number of patches of a step, over all ranks.
        momentum: Momentum of SGD.
        held_out: Share of the training images that is held out to choose by, and not trained on.
        tokens_per_image: Most patches that are kept of an image, drawn at random; None: all.
        max_gib: Most main memory that a process may keep patches in, GiB.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        seed: Seed of the held-out images, of ``tokens_per_image`` and of the order.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    refits = False

    def __init__(
        self,
        train_dataloader: dict,
        learning_rates: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
        num_epochs: int = 10,
        batch_size: int = 1024,
        momentum: float = 0.9,
        held_out: float = 0.1,
        tokens_per_image: int | None = None,
        max_gib: float = 32,
        absent: str = 'nan',
        seed: int = 0,
        protocol: str = 'linear-joint',
        **kwargs: Any,
    ) -> None:
        for name, value in dict(num_epochs=num_epochs, batch_size=batch_size).items():
            if value < 1:
                raise ValueError(f'LinearJointIoU: {name} must be at least 1, got {value}')
        super().__init__(
            train_dataloader,
            [dict(learning_rate=rate) for rate in learning_rates],
            held_out, tokens_per_image, max_gib, absent, seed, protocol,
            **kwargs,
        )  # fmt: skip
        self.schedule: dict[str, Any] = dict(
            num_epochs=num_epochs, batch_size=batch_size, momentum=momentum
        )
        self.settings |= self.schedule

    def train(self, candidates: Sequence[dict[str, Any]], fit_on: Tensor) -> None:
        """Train all heads at once. Every rank must call."""
        steps = num_joint_steps(
            int(fit_on.sum()), self.schedule['num_epochs'], self.schedule['batch_size']
        )
        self.heads = train_jointly(
            self.tokens,
            _labels_of(self.labels, fit_on),
            len(self.classes),
            [settings['learning_rate'] for settings in candidates],
            seed=self.seed,
            device=self.device,
            on_step=Progress(f'{self.protocol}, heads', steps).step,
            **self.schedule,
        )

    def predict(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Classes (S, H, W) that the heads give an image's tokens (C, h, w)."""
        standardised = self.standardised(tokens).T.unflatten(1, tokens.shape[1:])
        return self.heads.score_maps(standardised, size).max(1).indices

    def _report(self, size: int) -> dict[str, Any]:
        """The chosen head's report, the scores of all in ``mIoU_per_learning_rate``."""
        ious = self.count_report(size, 1 + len(self.candidates))['mIoU_per_seed'][1:]
        first = torch.tensor([0])
        self.counts = [(number, counts.index_select(0, first)) for number, counts in self.counts]
        report = self.count_report(size)
        report['mIoU_per_learning_rate'] = {
            str(settings['learning_rate']): iou
            for settings, iou in zip(self.candidates, ious, strict=True)
        }
        report['metrics']['mIoU_best'] = max(ious)
        return report


def _labels_of(labels: Tensor, fit_on: Tensor) -> Tensor:
    """Labels, int32 (N,), of single-label patches (N, 1); ``LEFT_OUT`` where not to fit."""
    kept = labels[:, 0].int()
    return kept.masked_fill(~fit_on.to(kept.device), LEFT_OUT)
