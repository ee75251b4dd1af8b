"""CrOC's two losses with their centres and temperatures."""

from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmcroc.croc.losses import (
    cross_view_cross_entropy,
    mean_entropy,
    teacher_probabilities,
    updated_centers,
)
from mmcroc.registry import MODELS


class Level(NamedTuple):
    """What is compared across views: images, or clusters.

    Attributes:
        name: Name of the level in the log.
        weight: Weight of the level's loss.
        center: (1, P), running mean of the teacher's logits.
        student: (2R, P), the student's logits, view 1's rows first.
        teacher: (2R, P), the teacher's logits, view 1's rows first.
        valid: (R,), rows that count, or None for all.
    """

    name: str
    weight: float
    center: Tensor
    student: Tensor
    teacher: Tensor
    valid: Tensor | None = None


@MODELS.register_module()
class CrOCHead(BaseModule):
    """Image-level and cluster-level self-distillation across two views.

    Args:
        num_prototypes: Number of the neck's prototypes of images.
        num_cluster_prototypes: Number of the neck's prototypes of clusters; 0 leaves the cluster
            level out.
        cluster_loss_weight: α of ``loss = image + α · cluster``.
        student_temperature: τₛ.
        teacher_temperature: τₜ once warmed up.
        warmup_teacher_temperature: τₜ of the first epoch.
        warmup_epochs: Number of epochs over which τₜ goes from one to the other, both included.
        center_momentum: Momentum of both centres.
        init_cfg: MMEngine's initialisation config.
    """

    center: Tensor
    cluster_center: Tensor

    def __init__(
        self,
        num_prototypes: int = 65536,
        num_cluster_prototypes: int = 8192,
        cluster_loss_weight: float = 1.0,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_teacher_temperature: float = 0.04,
        warmup_epochs: int = 0,
        center_momentum: float = 0.9,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.cluster_loss_weight = cluster_loss_weight
        self.student_temperature = student_temperature
        self.center_momentum = center_momentum
        self.temperatures = [
            *np.linspace(warmup_teacher_temperature, teacher_temperature, warmup_epochs),
            teacher_temperature,
        ]
        self.register_buffer('center', torch.zeros(1, num_prototypes))
        if num_cluster_prototypes:
            self.register_buffer('cluster_center', torch.zeros(1, num_cluster_prototypes))
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the teacher's temperature of an epoch, counted from 0."""
        self.teacher_temperature = float(self.temperatures[min(epoch, len(self.temperatures) - 1)])

    @property
    def temperature_changes(self) -> bool:
        """Whether the teacher's temperature depends on the epoch."""
        return len(set(self.temperatures)) > 1

    def loss(
        self,
        student: tuple[Tensor, Tensor | None],
        teacher: tuple[Tensor, Tensor | None],
        valid: Tensor | None = None,
        sync_statistics: bool = False,
    ) -> dict[str, Tensor]:
        """Losses and what to watch; updates the centres afterwards.

        Args:
            student: Logits of the image level (2B, P) and of the cluster level (2R, P_c) or None;
                view 1's rows first.
            teacher: The teacher's logits, alike.
            valid: (R,), clusters that count; all by default.
            sync_statistics: Whether the mean over clusters is over those of all ranks (needs
                gradients averaged over ranks, as DistributedDataParallel does).

        Returns:
            ``loss_image`` and ``loss_cluster`` (weighted), entropies and KL of the teacher's
            distributions.
        """
        levels = [Level('image', 1.0, self.center, student[0], teacher[0])]
        if student[1] is not None and teacher[1] is not None:
            weight, center = self.cluster_loss_weight, self.cluster_center
            levels.append(Level('cluster', weight, center, student[1], teacher[1], valid))
        logits = [level.teacher.unflatten(0, (2, -1)) for level in levels]  # (2, R, P)
        results = {}
        for level, rows in zip(levels, logits, strict=True):
            target = teacher_probabilities(rows, level.center, self.teacher_temperature)
            loss = cross_view_cross_entropy(
                target,
                level.student.unflatten(0, (2, -1)),
                self.student_temperature,
                level.valid,
                sync_statistics,
            )
            entropy = mean_entropy(target, level.valid)
            results[f'loss_{level.name}'] = level.weight * loss
            results[f'entropy_{level.name}'] = entropy
            results[f'kl_{level.name}'] = loss.detach() - entropy
        centers, valid_rows = [x.center for x in levels], [x.valid for x in levels]
        new = updated_centers(centers, logits, valid_rows, self.center_momentum)
        for center, value in zip(centers, new, strict=True):
            center.copy_(value)
        return results
