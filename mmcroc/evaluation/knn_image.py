"""Nearest neighbours of whole images: which classes an image shows, as the most alike ones do."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.evaluation.fitted_iou import FittedMetric
from mmcroc.evaluation.token_metric import log
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.numerics.neighbours import nearest_entries
from mmcroc.registry import METRICS


@METRICS.register_module()
class KNNImageAP(FittedMetric):
    """Mean average precision of telling by its neighbours which classes an image shows.

    An image's feature is the mean of its tokens; it shows the classes in its mask. The k nearest
    training images vote: class c gets ``Σ_j softmax_j(cos(q, m_j) / τ) [c in j]``, by which images
    are ranked. Classes that all scored images show, or none, are left out of the mean.

    Reference: Caron et al., *Emerging Properties in Self-Supervised Vision Transformers* (DINO),
    ICCV 2021, for the vote, k and τ (there of [CLS], which not every network has); average
    precision is that of VOC's classification task, without interpolation.

    Args:
        train_dataloader: Labelled training images. By default ranks share them without repetition.
        num_neighbours: Number k of neighbours; all where there are fewer.
        temperature: Temperature τ of the votes.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        num_neighbours: int = 20,
        temperature: float = 0.07,
        protocol: str = 'knn-image',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, **kwargs)
        if num_neighbours < 1 or temperature <= 0:
            raise ValueError(
                'KNNImageAP: num_neighbours must be at least 1 and temperature positive, got '
                f'{num_neighbours} and {temperature}'
            )
        self.passes = [TrainingImages(train_dataloader)]
        self.settings: dict[str, Any] = dict(num_neighbours=num_neighbours, temperature=temperature)
        self.begin_fit()
        self.reset()

    def begin_fit(self) -> None:
        """Forget the training images."""
        self.kept: list[tuple[int, Tensor, Tensor]] = []
        self.memory: tuple[Tensor, Tensor] | None = None

    def reset(self) -> None:
        """Forget the scored images."""
        self.scored: list[tuple[int, Tensor, Tensor]] = []

    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Keep a training image's feature and classes. Errors as of :meth:`process`."""
        tokens, mask = self._tokens(sample, name), self._mask(sample, name)
        self.kept.append(self._described(number, tokens, mask))

    def end_fit(self) -> None:
        """Unite the ranks' training images. Every rank must call."""
        self.memory, self.kept = self._united(self.kept, self.passes[0].size), []

    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Keep the feature of an image's tokens (C, h, w) and the classes in its mask (H, W)."""
        self.scored.append(self._described(number, tokens, mask))

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        if self.memory is None:
            raise RuntimeError(
                f'{self.protocol}: no training images were seen; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        features, shown = self._united(self.scored, size)
        votes = neighbour_votes(features, *self.memory, **self.settings)
        precision = [
            100 * float(average_precision(*column)) if 0 < column[1].sum() < size else float('nan')
            for column in zip(votes.T, shown.T, strict=True)
        ]
        metrics = dict(mAP=float(torch.tensor(precision).nanmean()))
        self.report = dict(
            protocol=self.protocol, classes=list(self.classes), metrics=metrics,
            AP_per_class=precision, num_images=size, ranks=get_world_size(),
            settings=dict(self.settings, num_train_images=self.num_train_images),
        )  # fmt: skip
        log(f'{self.protocol}: {self.num_train_images} images vote on {size}, {metrics}')
        return metrics

    def _described(self, number: int, tokens: Tensor, mask: Tensor) -> tuple[int, Tensor, Tensor]:
        """An image's number, its unit vector (D,), and whether it shows each class (C,)."""
        classes = len(self.classes)
        labels = torch.where(mask == self.ignore_index, classes, mask).long().flatten()
        shown = torch.zeros(classes + 1, device=mask.device).scatter_(0, labels, 1.0)[:classes]
        return number, F.normalize(tokens.float().mean((1, 2)), dim=0).cpu(), shown.cpu()

    def _united(
        self, images: Sequence[tuple[int, Tensor, Tensor]], size: int
    ) -> tuple[Tensor, Tensor]:
        """Vectors (size, D) and classes, bool (size, C), of the images of all ranks."""
        features = torch.zeros(size, len(images[0][1]))
        shown = torch.zeros(size, len(self.classes))
        for number, feature, classes in images:
            if number < size:  # else repeated, to make the ranks' shares equal
                features[number], shown[number] = feature, classes
        return all_reduce_sum(features), all_reduce_sum(shown) > 0


def neighbour_votes(
    queries: Tensor, memory: Tensor, labels: Tensor, num_neighbours: int, temperature: float
) -> Tensor:
    """Votes of the nearest for each class, weighted by ``softmax(cos / temperature)``.

    Args:
        queries: Unit vectors (Q, D).
        memory: Unit vectors (M, D).
        labels: Whether each of the memory shows each class (M, C).
        num_neighbours: Number of neighbours; all of a smaller memory.
        temperature: Temperature of the weights.

    Returns:
        Votes (Q, C) in [0, 1], float32.
    """
    cosines, places = nearest_entries(queries, memory, min(num_neighbours, len(memory)))
    # Added in float64: images of which all neighbours show a class must be equal, not ranked by
    # how their weights' sums round.
    weights = (cosines.double() / temperature).softmax(1)
    return torch.einsum('qk,qkc->qc', weights, labels[places].double()).float()


def average_precision(scores: Tensor, relevant: Tensor) -> Tensor:
    """Average precision of a ranking, ``Σ_n (R_n - R_{n-1}) P_n``, equal scores taken together.

    Args:
        scores: Scores (N,), the greatest first in the ranking.
        relevant: Whether each is to be found (N,), one at least.

    Returns:
        Scalar in [0, 1], as ``sklearn.metrics.average_precision_score``.
    """
    ranked, order = scores.sort(descending=True)
    found = relevant[order].double().cumsum(0)
    last = torch.cat([ranked[1:] != ranked[:-1], ranked.new_ones(1, dtype=torch.bool)])
    found, number = found[last], torch.arange(1, len(scores) + 1, device=scores.device)[last]
    return (found.diff(prepend=found.new_zeros(1)) * found / number).sum() / found[-1]
