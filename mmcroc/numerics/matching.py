"""From clusters to classes: confusion matrix, matching, intersection over union.

Everything is computed from one matrix, counts[k, c] = the number of pixels of cluster k and class
c over the whole set, so predictions are never kept.
"""

import torch
from torch import Tensor


def confusion_matrix(
    prediction: Tensor,
    target: Tensor,
    num_clusters: int,
    num_classes: int,
    ignore_index: int = 255,
    chunk_size: int = 2**24,
) -> Tensor:
    """Count pixels by cluster and class; arguments and errors as :func:`confusion_matrices`.

    Args:
        prediction: Clusters, of the target's shape.
        target: Classes.
        num_clusters: Number K of clusters.
        num_classes: Number C of classes.
        ignore_index: Target whose pixels do not count.
        chunk_size: Number of pixels counted at once.

    Returns:
        Numbers of pixels, int64 (K, C), to be summed over batches and ranks.
    """
    return confusion_matrices(
        prediction[None], target, num_clusters, num_classes, ignore_index, chunk_size
    )[0]


@torch.no_grad()
def confusion_matrices(
    predictions: Tensor,
    target: Tensor,
    num_clusters: int,
    num_classes: int,
    ignore_index: int = 255,
    chunk_size: int = 2**24,
) -> Tensor:
    """Count pixels by cluster and class, of several predictions at once.

    Args:
        predictions: Clusters, integers in [0, num_clusters), of shape (S, *shape).
        target: Classes, integers in [0, num_classes) or ``ignore_index``, of any shape.
        num_clusters: Number K of clusters.
        num_classes: Number C of classes.
        ignore_index: Target whose pixels do not count.
        chunk_size: Number of pixels counted at once.

    Returns:
        Numbers of pixels, int64 (S, K, C), to be summed over batches and ranks.

    Raises:
        ValueError: Shapes that differ, or numbers out of range (at pixels that count).
    """
    if predictions.shape[1:] != target.shape:
        raise ValueError(
            f'prediction {tuple(predictions.shape[1:])} and target {tuple(target.shape)} must be '
            'of one shape: resize one of them, nearest neighbour'
        )
    number, columns = len(predictions), num_classes + 1  # the last one for what does not count
    counts = predictions.new_zeros(number * num_clusters * columns, dtype=torch.long)
    first = torch.arange(number, device=target.device)[:, None] * num_clusters * columns
    at_once = max(chunk_size // max(number, 1), 1)
    pairs = zip(
        predictions.flatten(1).split(at_once, 1), target.flatten().split(at_once), strict=True
    )
    for clusters, label in pairs:
        valid = label != ignore_index
        label = torch.where(valid, label, 0).long()
        if not _lies_in(clusters, num_clusters):  # at pixels that do not count, perhaps
            clusters = torch.where(valid, clusters, 0)
        for name, values, end in (
            ('prediction', clusters, num_clusters),
            ('target', label, num_classes),
        ):
            if not _lies_in(values, end):
                raise ValueError(
                    f'{name} must lie in [0, {end}), but runs from {int(values.min())} to '
                    f'{int(values.max())}: wrong number of classes, or another ignore_index?'
                )
        places = torch.add(torch.where(valid, label, num_classes), clusters, alpha=columns)
        counts += torch.bincount(places.add_(first).flatten(), minlength=len(counts))
    return counts.view(number, num_clusters, columns)[..., :num_classes]


def _lies_in(values: Tensor, end: int) -> bool:
    """Whether all values lie in [0, end)."""
    if not values.numel():
        return True
    low, high = torch.stack(values.aminmax()).tolist()
    return 0 <= low <= high < end


def pairwise_iou(counts: Tensor) -> Tensor:
    """Intersection over union of every cluster with every class, float64 (K, C), from counts."""
    counts = counts.double()
    union = counts.sum(1, keepdim=True) + counts.sum(0, keepdim=True) - counts
    return counts / union.clamp(min=1)


def match_hungarian(counts: Tensor) -> Tensor:
    """Match one cluster to each class: the matching of least Σ (1 - IoU) over the whole set.

    Clusters left over, when there are more than classes, go to class 0. Of counts (K, C) it is each
    cluster's class, int64 (K,) on the CPU.

    Reference: Kuhn, *The Hungarian method for the assignment problem*, 1955; the evaluation of
    Ziegler and Asano, *Self-supervised learning of object parts for semantic segmentation*
    (Leopart), CVPR 2022.
    """
    from scipy.optimize import linear_sum_assignment  # as long as a third of torch's import

    clusters, classes = linear_sum_assignment(1 - pairwise_iou(counts).cpu().numpy())
    mapping = torch.zeros(len(counts), dtype=torch.long)
    mapping[torch.from_numpy(clusters)] = torch.from_numpy(classes).long()
    return mapping


def match_many_to_one(counts: Tensor, criterion: str = 'precision') -> Tensor:
    """Match each cluster to the class it fits best: for over-clustering, K >> C.

    By 'precision' the class of most of its pixels, by 'iou' that of greatest intersection over
    union with the cluster: int64 (K,) on the CPU; 0 for a cluster without pixels, and the lowest
    class in a tie.
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


def match_identity(counts: Tensor) -> Tensor:
    """Match cluster k to class k: int64 (C,); a ValueError for counts that are not (C, C)."""
    if counts.shape[0] != counts.shape[1]:
        raise ValueError(
            f'{counts.shape[0]} clusters are not {counts.shape[1]} classes: without matching there '
            'must be as many'
        )
    return torch.arange(len(counts))


def merge_clusters(counts: Tensor, mapping: Tensor) -> Tensor:
    """Counts (C, C), predicted by true class, of counts (K, C) and each cluster's class (K,)."""
    merged = counts.new_zeros(counts.shape[1], counts.shape[1])
    return merged.index_add_(0, mapping.to(counts.device), counts)


def intersection_over_union(counts: Tensor, absent: str = 'zero') -> Tensor:
    """Intersection over union of each class over the whole set, float64 (C,).

    Args:
        counts: Numbers of pixels (C, C), predicted class by true class.
        absent: Value of a class with neither labels nor predictions: 'zero', as in
            Leopart's evaluation, or 'nan', as MMSegmentation's ``IoUMetric``. (A class without
            labels that is predicted somewhere has IoU 0 by either rule.)
    """
    if absent not in ('zero', 'nan'):
        raise ValueError(f"absent must be 'zero' or 'nan', got {absent!r}")
    intersection = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return torch.where(
        union > 0, intersection / union.clamp(min=1), 0.0 if absent == 'zero' else torch.nan
    )


def mean_iou(iou: Tensor) -> Tensor:
    """Plain mean over classes (C,) of :func:`intersection_over_union`, NaN ones left out."""
    return iou.nanmean()
