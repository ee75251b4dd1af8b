"""CrOC's two losses with their centres and temperatures."""

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
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.registry import MODELS


@MODELS.register_module()
class CrOCHead(BaseModule):
    """Image-level and cluster-level self-distillation across two views.

    Args:
        num_prototypes: As the neck's.
        num_cluster_prototypes: As the neck's; 0 leaves the cluster level out.
        cluster_loss_weight: α of ``loss = image + α · cluster``.
        student_temperature: τₛ.
        teacher_temperature: τₜ once warmed up.
        warmup_teacher_temperature: τₜ of the first epoch.
        warmup_epochs: Epochs over which τₜ goes from one to the other, both ends included.
        center_momentum: Momentum of both centres.
        init_cfg: As MMEngine's.
    """

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

    def set_epoch(self, epoch: int):
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
            teacher: Likewise.
            valid: (R,) clusters that count.
            sync_statistics: Take the mean over the clusters of all ranks, not of each rank's own
                (needs gradients averaged over ranks, as DistributedDataParallel does).

        Returns:
            ``loss_image`` and ``loss_cluster`` (weighted), entropies and KL of the teacher's
            distributions.
        """
        student_image, student_cluster = (_by_view(logits) for logits in student)
        teacher_image, teacher_cluster = (_by_view(logits) for logits in teacher)

        target = teacher_probabilities(teacher_image, self.center, self.teacher_temperature)
        image_loss = cross_view_cross_entropy(target, student_image, self.student_temperature)
        entropy = mean_entropy(target)
        results = {
            'loss_image': image_loss,
            'entropy_image': entropy,
            'kl_image': image_loss.detach() - entropy,
        }
        centers, logits, masks = [self.center], [teacher_image], [None]

        if student_cluster is not None:
            target = teacher_probabilities(
                teacher_cluster, self.cluster_center, self.teacher_temperature
            )
            count = None
            if sync_statistics:
                # DDP averages gradients over ranks: a share of the global mean, times the ranks.
                count = all_reduce_sum(valid.sum()) / get_world_size()
            cluster_loss = cross_view_cross_entropy(
                target, student_cluster, self.student_temperature, valid, count
            )
            entropy = mean_entropy(target, valid)
            results['loss_cluster'] = self.cluster_loss_weight * cluster_loss
            results['entropy_cluster'] = entropy
            results['kl_cluster'] = cluster_loss.detach() - entropy
            centers.append(self.cluster_center)
            logits.append(teacher_cluster)
            masks.append(valid)

        for center, new in zip(
            centers, updated_centers(centers, logits, masks, self.center_momentum), strict=True
        ):
            center.copy_(new)
        return results


def _by_view(logits: Tensor | None) -> Tensor | None:
    return None if logits is None else logits.unflatten(0, (2, -1))
