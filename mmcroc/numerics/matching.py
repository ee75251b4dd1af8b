"""From clusters to classes: confusion matrix, matching, intersection over union.

Everything is computed from one matrix, counts[k, c] = the number of pixels of cluster k and class
c over the whole set, so predictions are never kept.
"""

import torch
from scipy.optimize import linear_sum_assignment


@torch.no_grad()
def confusion_matrix(
    prediction, target, num_clusters, num_classes, ignore_index=255, chunk_size=2**24
):
    """Count pixels by cluster and class.

    Args:
        prediction (Tensor): Integers in [0, num_clusters), any shape.
        target (Tensor): Integers in [0, num_classes) or ``ignore_index``, of the same shape.
        num_clusters (int): K.
        num_classes (int): C.
        ignore_index (int): Pixels of this target do not count.
        chunk_size (int): Pixels counted at once.

    Returns:
        Tensor: (K, C), int64. Sum the matrices of batches, then of ranks.

    Raises:
        ValueError: Shapes that differ, or numbers out of range (at pixels that count).
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f'prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must be of one '
            'shape: resize one of them, nearest neighbour'
        )
    counts = torch.zeros(num_clusters * num_classes, dtype=torch.long, device=prediction.device)
    pairs = zip(
        prediction.flatten().split(chunk_size), target.flatten().split(chunk_size), strict=True
    )
    for cluster, label in pairs:
        valid = label != ignore_index
        cluster, label = cluster[valid].long(), label[valid].long()
        _check_range('prediction', cluster, num_clusters)
        _check_range('target', label, num_classes)
        counts += torch.bincount(cluster * num_classes + label, minlength=len(counts))
    return counts.view(num_clusters, num_classes)


def _check_range(name, values, number):
    if values.numel() and not 0 <= values.min() <= values.max() < number:
        raise ValueError(
            f'{name} must lie in [0, {number}), but runs from {int(values.min())} to '
            f'{int(values.max())}: wrong number of classes, or another ignore_index?'
        )


def pairwise_iou(counts):
    """Intersection over union of every cluster with every class: (K, C), float64.

    Args:
        counts (Tensor): (K, C), from :func:`confusion_matrix`.
    """
    counts = counts.double()
    union = counts.sum(1, keepdim=True) + counts.sum(0, keepdim=True) - counts
    return counts / union.clamp(min=1)


def match_hungarian(counts):
    """One cluster for each class: the matching of least Σ (1 - IoU) over the whole set.

    Clusters left over, when there are more than classes, go to class 0.

    Reference: Kuhn, *The Hungarian method for the assignment problem*, 1955; the evaluation of
    Ziegler and Asano, *Self-supervised learning of object parts for semantic segmentation*
    (Leopart), CVPR 2022.

    Args:
        counts (Tensor): (K, C), from :func:`confusion_matrix`.

    Returns:
        Tensor: (K,), int64 on the CPU: each cluster's class.
    """
    clusters, classes = linear_sum_assignment(1 - pairwise_iou(counts).cpu().numpy())
    mapping = torch.zeros(len(counts), dtype=torch.long)
    mapping[torch.from_numpy(clusters)] = torch.from_numpy(classes).long()
    return mapping


def match_many_to_one(counts, criterion='precision'):
    """Each cluster to the class it fits best: for over-clustering, K >> C.

    Args:
        counts (Tensor): (K, C), from :func:`confusion_matrix`.
        criterion (str): 'precision': the class of most of its pixels; 'iou': the class of greatest
            intersection over union with the cluster.

    Returns:
        Tensor: (K,), int64 on the CPU: each cluster's class; 0 for a cluster without pixels, and
        the lowest class in a tie.
    """
    if criterion == 'precision':  # the cluster's size divides the whole row
        score = counts
    elif criterion == 'iou':
        score = pairwise_iou(counts)
    else:
        raise ValueError(f"criterion must be 'precision' or 'iou', got {criterion!r}")
    score = score.cpu()
    # argmax() promises no order among equals.
    return (score == score.amax(1, keepdim=True)).int().argmax(1)


def match_identity(counts):
    """No matching: cluster k is class k. (K,), int64; K must be C."""
    if counts.shape[0] != counts.shape[1]:
        raise ValueError(
            f'{counts.shape[0]} clusters are not {counts.shape[1]} classes: without matching there '
            'must be as many'
        )
    return torch.arange(len(counts))


def merge_clusters(counts, mapping):
    """The confusion matrix after every cluster became its class.

    Args:
        counts (Tensor): (K, C).
        mapping (Tensor): (K,), each cluster's class.

    Returns:
        Tensor: (C, C), int64, predicted class by true class.
    """
    merged = counts.new_zeros(counts.shape[1], counts.shape[1])
    return merged.index_add_(0, mapping.to(counts.device), counts)


def intersection_over_union(counts, absent='zero'):
    """Each class's IoU over the whole set.

    Args:
        counts (Tensor): (C, C), predicted class by true class.
        absent (str): The IoU of a class with neither labels nor predictions: 'zero', as in
            Leopart's evaluation, or 'nan', as MMSegmentation's ``IoUMetric``. (A class without
            labels that is predicted somewhere has IoU 0 by either rule.)

    Returns:
        Tensor: (C,), float64.
    """
    if absent not in ('zero', 'nan'):
        raise ValueError(f"absent must be 'zero' or 'nan', got {absent!r}")
    intersection = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return torch.where(
        union > 0, intersection / union.clamp(min=1), 0.0 if absent == 'zero' else torch.nan
    )


def mean_iou(iou):
    """The plain mean over classes, (), of :func:`intersection_over_union`, NaN ones left out."""
    return iou.nanmean()
