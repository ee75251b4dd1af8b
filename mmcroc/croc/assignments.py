"""Which tokens of two views make up a cluster, and what stands for it in each view."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.numerics.precision import in_float32


class ClusterAssignments(NamedTuple):
    """What the clustering found.

    Attributes:
        plans: (2, B, h, n, K), for the two views: each token keeps the weight of its cluster (of
            all its clusters if several tie), all else is 0. K is the greatest number of clusters
            allowed; columns past a problem's number of clusters are 0.
        valid: (B, h, K), True where a cluster has at least one token in both views.
        num_clusters: (B, h), int64, number of clusters chosen.
    """

    plans: Tensor
    valid: Tensor
    num_clusters: Tensor


def split(plan: Tensor, num_clusters: Tensor) -> ClusterAssignments:
    """Cut the joint plan into the two views' hard assignments.

    Columns sum to 1 within each view, then each token keeps only its greatest entry.

    Args:
        plan: (B, h, 2n, K), any values past a problem's number of clusters.
        num_clusters: (B, h).

    Returns:
        The assignments of both views.
    """
    columns = torch.arange(plan.shape[-1], device=plan.device)
    plan = plan.masked_fill((columns >= num_clusters.unsqueeze(-1)).unsqueeze(-2), 0)
    views = plan.unflatten(-2, (2, -1)).movedim(-3, 0)  # (2, B, h, n, K)
    total = views.sum(dim=-2, keepdim=True)
    views = views / total.masked_fill(total == 0, 1)
    views = views.mul_(views == views.amax(dim=-1, keepdim=True))
    valid = (views.amax(dim=-2) > 0).all(dim=0)
    return ClusterAssignments(views, valid, num_clusters)


def cluster_labels(assignments: ClusterAssignments) -> Tensor:
    """Number every token's cluster, the same number in both views.

    Args:
        assignments: What :func:`online_clustering` found.

    Returns:
        (2, B, h, n), int64: columns of the plans (the first of several that tie); -1 where the
        cluster has no token in the other view, and so is not compared in training.
    """
    labels = assignments.plans.argmax(dim=-1)
    valid = assignments.valid.expand(2, *assignments.valid.shape).gather(-1, labels)
    return labels.masked_fill(~valid, -1)


@in_float32
def cluster_representations(plans: Tensor, tokens: Tensor, scale: Tensor) -> Tensor:
    """Represent each cluster in each view by its tokens' weighted sum, at the scale of [CLS].

    Gradient flows through the tokens and through the scale.

    Args:
        plans: (2, B, h, n, K), assignments of the tokens.
        tokens: (2, B, n, C), final tokens of all channels.
        scale: Scalar, the mean norm of the final [CLS] tokens of both views.

    Returns:
        (2, B, h, K, C); zero for a cluster without tokens.
    """
    centroids = torch.einsum('vbhnk,vbnc->vbhkc', plans, tokens)
    return F.normalize(centroids, dim=-1) * scale
