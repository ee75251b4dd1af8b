"""Standardisation and PCA of features that do not fit into memory, or lie on several ranks.

One pass gathers the count n, the sum s and the second moments M = Σ x xᵀ in float64. Then

    mean = s / n,   Cov = M / n - mean meanᵀ,   std = √diag(Cov)   (as scikit-learn, by n)

and the principal components are the eigenvectors of Cov, or, for standardised features, of the
correlation matrix Cov / (std stdᵀ).
"""

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from mmcroc.numerics.distributed import all_reduce_sum


class RunningMoments:
    """Count, sum and second moments of features, gathered batch by batch.

    >>> moments = RunningMoments(384)
    >>> for tokens in batches:
    ...     moments.update(tokens)
    >>> pca = fit_pca(moments.all_reduce(), 50)

    Args:
        dim: Number D of features.
        device: Device of the sums; best the features'.
    """

    def __init__(self, dim: int, device: torch.device | str = 'cpu') -> None:
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.sum = torch.zeros(dim, dtype=torch.float64, device=device)
        self.second = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, features: Tensor, chunk_size: int = 65536) -> 'RunningMoments':
        """Add features (..., D), ``chunk_size`` of them at once.

        Raises:
            ValueError: D is another one, or a feature is NaN or infinite.
        """
        dim = len(self.sum)
        if features.shape[-1] != dim:
            raise ValueError(f'features must be (..., {dim}), got {tuple(features.shape)}')
        for chunk in features.reshape(-1, dim).split(chunk_size):
            chunk = chunk.to(self.sum)
            total = chunk.sum(0)
            if not bool(total.isfinite().all()):
                bad = (~chunk.isfinite()).any(1)
                raise ValueError(
                    f'{int(bad.sum())} of {len(chunk)} features of shape {tuple(features.shape)} '
                    'hold NaN or infinity: check the checkpoint, and the precision they were '
                    'computed in'
                )
            self.count += len(chunk)
            self.sum += total
            self.second += chunk.T @ chunk
        return self

    def all_reduce(self) -> 'RunningMoments':
        """Sum the moments over all ranks, to a new object. Every rank must call."""
        united = copy(self)
        united.count = all_reduce_sum(self.count.clone())
        united.sum = all_reduce_sum(self.sum.clone())
        united.second = all_reduce_sum(self.second.clone())
        return united

    @property
    def mean(self) -> Tensor:
        """Mean of the features, float64 (D,)."""
        return self.sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Covariance of the features, divided by n, float64 (D, D)."""
        return self.second / self.count - torch.outer(self.mean, self.mean)

    @property
    def std(self) -> Tensor:
        """Standard deviations, float64 (D,); 1, to divide by, where a feature does not vary."""
        std = self.covariance.diagonal().clamp(min=0).sqrt()
        # Below this the difference that makes the variance is rounding.
        constant = std <= 1e-7 * (self.second.diagonal() / self.count).sqrt()
        return torch.where(constant, 1.0, std)


@dataclass
class PCA:
    """An affine map to principal components: (x - mean) / scale · componentsᵀ.

    Attributes:
        mean: Mean, float64 (D,).
        scale: Standard deviations, or ones, float64 (D,).
        components: Components, float64 (d, D), orthonormal rows, the greatest variance first. The
            entry of greatest magnitude of each row is positive, so that signs are reproducible.
        explained_variance: Variance (by n - 1, as scikit-learn) along each component, float64
            (d,).
        explained_variance_ratio: Share of each component in the whole variance, float64 (d,).
    """

    mean: Tensor
    scale: Tensor
    components: Tensor
    explained_variance: Tensor
    explained_variance_ratio: Tensor

    @torch.no_grad()
    def transform(self, features: Tensor, chunk_size: int = 65536) -> Tensor:
        """Project features (..., D) to (..., d), in float32 (float64 if they are)."""
        dtype = features.dtype if features.dtype == torch.float64 else torch.float32
        mean = self.mean.to(features.device)
        weight = (self.components / self.scale).T.to(features.device, dtype)
        flat = features.reshape(-1, features.shape[-1])
        out = torch.empty(len(flat), weight.shape[1], dtype=dtype, device=features.device)
        with torch.autocast(features.device.type, enabled=False):
            for start in range(0, len(flat), chunk_size):
                chunk = flat[start : start + chunk_size].to(dtype)
                out[start : start + chunk_size] = (chunk - mean.to(dtype)) @ weight
        return out.view(*features.shape[:-1], -1)


def fit_pca(moments: RunningMoments, num_components: int, standardize: bool = True) -> PCA:
    """Find principal components from moments.

    Args:
        moments: Moments of all features (after ``all_reduce`` with several ranks).
        num_components: Number d of components, at most D and fewer than the features.
        standardize: Whether to scale features to unit variance first.

    Raises:
        ValueError: More components than features or dimensions can give.
    """
    dim, count = len(moments.sum), int(moments.count)
    if not 1 <= num_components <= min(dim, count - 1):
        raise ValueError(
            f'num_components={num_components} must be between 1 and {min(dim, count - 1)}: '
            f'there are {count} features of {dim} dimensions'
        )
    scale = moments.std if standardize else torch.ones_like(moments.sum)
    covariance = moments.covariance / torch.outer(scale, scale)
    variance, vectors = torch.linalg.eigh(covariance)  # ascending
    variance, components = variance.flip(0).clamp(min=0), vectors.T.flip(0)
    components = components[:num_components]
    greatest = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = components * greatest.sign()
    kept = variance[:num_components]
    return PCA(
        moments.mean, scale, components, kept * count / (count - 1), kept / variance.sum()
    )  # fmt: skip
