"""Ridge regression on one-hot labels, in closed form: a linear probe without a training schedule.

    minimise Σᵢ |W xᵢ + b - yᵢ|² + alpha |W|²,   yᵢ one-hot,   b not penalised

has the solution W = (X̃ᵀX̃ + alpha I)⁻¹ X̃ᵀỸ over centred X̃, Ỹ. One pass gathers the products in
float64, so that memory does not grow with the number of tokens, nothing is drawn at random, and
several alpha cost one pass.

Reference: Hoerl and Kennard, *Ridge regression*, Technometrics 1970.
"""

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_reduce_sum
from mmcroc.numerics.pca import RunningMoments


@dataclass
class RidgeClassifier:
    """A linear classifier.

    Attributes:
        weight: Weights, float64 (C, D), for features as they come (standardisation is folded in).
        bias: Biases, float64 (C,).
    """

    weight: Tensor
    bias: Tensor


class RidgeAccumulator:
    """Gathers what the closed-form solution needs, batch by batch.

    >>> ridge = RidgeAccumulator(384, 21)
    >>> for tokens, labels in batches:
    ...     ridge.update(tokens, labels)
    >>> classifier = ridge.all_reduce().fit(alpha=1.0)

    Args:
        dim: Number D of features.
        num_classes: Number C of classes.
        ignore_index: Label whose tokens are left out.
        device: Device of the products; best the features'.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        ignore_index: int = 255,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.moments = RunningMoments(dim, device)
        self.class_sum = torch.zeros(num_classes, dim, dtype=torch.float64, device=device)
        self.class_count = torch.zeros(num_classes, dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(
        self, features: Tensor, labels: Tensor, chunk_size: int = 65536
    ) -> 'RidgeAccumulator':
        """Add tokens (..., D) with labels (...) in [0, C) or ``ignore_index``, chunk by chunk.

        Raises:
            ValueError: Shapes that do not fit, a label out of range, NaN or infinite features.
        """
        if features.shape[:-1] != labels.shape:
            raise ValueError(
                f'labels must be {tuple(features.shape[:-1])} for features of '
                f'{tuple(features.shape)}, got {tuple(labels.shape)}'
            )
        flat = features.reshape(-1, features.shape[-1])
        chunks = zip(flat.split(chunk_size), labels.reshape(-1).split(chunk_size), strict=True)
        for chunk, label in chunks:
            valid = label != self.ignore_index
            chunk, label = chunk[valid].to(self.class_sum), label[valid].long()
            if label.numel() and not 0 <= label.min() <= label.max() < self.num_classes:
                raise ValueError(
                    f'labels must lie in [0, {self.num_classes}) or be {self.ignore_index}, got '
                    f'{int(label.min())} to {int(label.max())}'
                )
            self.moments.update(chunk)
            one_hot = F.one_hot(label, self.num_classes).to(self.class_sum)
            self.class_sum += one_hot.T @ chunk
            self.class_count += one_hot.sum(0)
        return self

    def all_reduce(self) -> 'RidgeAccumulator':
        """Sum the products over all ranks, to a new object. Every rank must call."""
        united = copy(self)
        united.moments = self.moments.all_reduce()
        united.class_sum = all_reduce_sum(self.class_sum.clone())
        united.class_count = all_reduce_sum(self.class_count.clone())
        return united

    def fit(self, alpha: float = 1.0, standardize: bool = False) -> RidgeClassifier:
        """Solve for the classifier.

        Args:
            alpha: Penalty, not divided by the number of tokens (as scikit-learn).
            standardize: Whether to penalise the weights of features scaled to unit variance.

        Raises:
            ValueError: No labelled token was given, or the system is singular.
        """
        moments = self.moments
        if not bool(moments.count > 0):
            raise ValueError('no token with a label: all are ignored, or update() was never called')
        scale = moments.std if standardize else torch.ones_like(moments.sum)
        gram = moments.count * moments.covariance / torch.outer(scale, scale)
        frequency = self.class_count / moments.count
        cross = (self.class_sum - torch.outer(self.class_count, moments.mean)) / scale
        gram.diagonal().add_(alpha)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if bool(failed):
            raise ValueError(
                f'the normal equations with alpha={alpha} are singular (constant or dependent '
                'features): use a greater alpha'
            )
        weight = torch.cholesky_solve(cross.T, factor).T / scale
        return RidgeClassifier(weight, frequency - weight @ moments.mean)
