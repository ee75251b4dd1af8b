"""Projection of [CLS] tokens and cluster representations onto prototypes."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.numerics.precision import product_with_rows
from mmcroc.registry import MODELS


class UnitNormPrototypes(nn.Module):
    """A linear layer without bias whose rows count by their direction alone.

    The same function as a weight-normalised layer with its gain fixed to 1, but it can be
    deep-copied. Only the direction matters, yet the norm sets the step's effective size, so the
    start (torch's default for a linear layer) is part of the method.

    Args:
        in_channels: Width of the input.
        num_prototypes: Number of prototypes, the rows.
    """

    def __init__(self, in_channels: int, num_prototypes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_prototypes, in_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise uniformly within ±1/√fan_in."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Cosines with the prototypes, in float32, on a GPU under autocast in TF32.

        In bf16 a cosine has 3 digits; divided by a temperature of 0.04 they would not do.

        Args:
            x: (R, in_channels), unit vectors.

        Returns:
            (R, num_prototypes).
        """
        return product_with_rows(x, F.normalize(self.weight.float(), dim=-1))


@MODELS.register_module()
class CrOCNeck(BaseModule):
    """MLP, L2 normalisation, then unit-norm prototypes for two levels.

    Args:
        in_channels: Width C of the backbone's tokens.
        hidden_channels: Width of the MLP.
        bottleneck_channels: Width after the MLP, where the norm is taken.
        num_layers: Number of the MLP's linear layers, GELU between.
        num_prototypes: Number of prototypes of the image level.
        num_cluster_prototypes: Number of prototypes of the cluster level; 0 leaves it out (DINO).
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        bottleneck_channels: int = 256,
        num_layers: int = 3,
        num_prototypes: int = 65536,
        num_cluster_prototypes: int = 8192,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ValueError(f'CrOCNeck: num_layers must be at least 1, got {num_layers}')
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), bottleneck_channels]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])
        self.prototypes = UnitNormPrototypes(bottleneck_channels, num_prototypes)
        self.cluster_prototypes = (
            UnitNormPrototypes(bottleneck_channels, num_cluster_prototypes)
            if num_cluster_prototypes
            else None
        )

    def init_weights(self) -> None:
        """Initialise as the release does, unless there is an ``init_cfg``."""
        if self.init_cfg:
            super().init_weights()
            return
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for prototypes in (self.prototypes, self.cluster_prototypes):
            if prototypes is not None:
                prototypes.reset_parameters()
        self._is_init = True

    def forward(
        self, cls_tokens: Tensor, clusters: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of both levels; the trunk is shared and runs once.

        Args:
            cls_tokens: (R, C).
            clusters: (Rc, C), cluster representations, or None.

        Returns:
            (R, num_prototypes) and (Rc, num_cluster_prototypes) or None, float32.
        """
        rows = cls_tokens if clusters is None else torch.cat([cls_tokens, clusters])
        embedded = F.normalize(self.mlp(rows).float(), dim=-1)
        logits = self.prototypes(embedded[: len(cls_tokens)])
        if self.cluster_prototypes is None or clusters is None:
            return logits, None
        return logits, self.cluster_prototypes(embedded[len(cls_tokens) :])
