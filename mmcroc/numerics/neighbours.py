"""Labels by retrieval: the nearest entries of a labelled memory vote.

References: Cover and Hart, *Nearest neighbor pattern classification*, 1967; Hwang et al., *SegSort:
segmentation by discriminative sorting of segments*, ICCV 2019; Ke et al. (HSG), CVPR 2022.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmcroc.numerics.inner_product_search import greatest_products


@torch.no_grad()
def nearest_labels(
    queries: Tensor,
    memory: Tensor,
    memory_labels: Tensor,
    num_neighbours: int = 20,
    chunk_size: int | None = None,
) -> Tensor:
    """Find the labels of each query's nearest memory entries by cosine, the nearest first.

    Args:
        queries: Unit vectors (Q, D).
        memory: Unit vectors (M, D).
        memory_labels: Label of each entry, integers (M,).
        num_neighbours: Number k of entries.
        chunk_size: Number of similarities held at once. Default: as suits the device.

    Returns:
        Labels (Q, k), of ``memory_labels``' dtype.

    Raises:
        ValueError: Shapes that do not fit each other, or a memory with fewer than k entries.
    """
    if memory_labels.shape != memory.shape[:1]:
        raise ValueError(
            f'memory_labels {tuple(memory_labels.shape)} must give each of the {len(memory)} '
            'entries of the memory one label'
        )
    return memory_labels[nearest_entries(queries, memory, num_neighbours, chunk_size)[1]]


@torch.no_grad()
def nearest_entries(
    queries: Tensor, memory: Tensor, num_neighbours: int, chunk_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Find each query's nearest memory entries by cosine, the nearest first.

    Exact. Similarities are computed chunk by chunk of the memory, so that never more than a bounded
    number is held; among equally near entries the order is unspecified.

    Args:
        queries: Unit vectors (Q, D).
        memory: Unit vectors (M, D).
        num_neighbours: Number k of entries.
        chunk_size: Number of similarities held at once. Default: as suits the device.

    Returns:
        Cosines (Q, k), and places in the memory, int64 (Q, k).

    Raises:
        ValueError: Shapes that do not fit each other, or a memory with fewer than k entries.
    """
    if not 0 < num_neighbours <= len(memory):
        raise ValueError(
            f'{num_neighbours} neighbours of a memory of {len(memory)} entries: ask for fewer '
            'neighbours, at least 1, or fill the memory from more images'
        )
    products, places = greatest_products(queries, memory, num_neighbours, max_products=chunk_size)
    return products[0], places[0]


def majority_vote(labels: Tensor, num_classes: int) -> Tensor:
    """Find the most frequent label of each row; of several, the lowest.

    Args:
        labels: Labels (Q, k), integers in [0, num_classes).
        num_classes: Number of classes.

    Returns:
        Labels, int64 (Q,).
    """
    labels = labels.long()
    votes = labels.new_zeros(len(labels), num_classes)
    votes.scatter_add_(1, labels, torch.ones_like(labels))
    return votes.argmax(1)  # the first of equals


def pixel_votes(
    labels: Tensor, numbers: Sequence[int], num_classes: int, ignore_index: int = 255
) -> Tensor:
    """Find the most frequent label of each pixel over neighbours; of several, the lowest.

    Void pixels have no vote. Where no neighbour has one, the most frequent label of all their
    pixels is taken.

    Args:
        labels: Labels (Q, k, p) of the p pixels of each neighbour, the nearest first, integers in
            [0, num_classes) or ``ignore_index``.
        numbers: Numbers S of neighbours that vote, rising, the last at most k.
        num_classes: Number of classes.
        ignore_index: Label of void pixels.

    Returns:
        Labels, int64 (S, Q, p).
    """
    queries, _, pixels = labels.shape
    bins = torch.where(labels == ignore_index, num_classes, labels.long())
    bins += torch.arange(pixels, device=labels.device) * (num_classes + 1)
    votes = torch.zeros(
        queries, pixels * (num_classes + 1), dtype=torch.int32, device=labels.device
    )
    chosen, counted = [], 0
    for number in numbers:
        new = bins[:, counted:number].flatten(1)
        votes.scatter_add_(1, new, torch.ones_like(new, dtype=votes.dtype))
        valid = votes.view(queries, pixels, -1)[..., :num_classes]
        most = valid.max(2)
        patch = valid.sum(1).argmax(1, keepdim=True)
        chosen.append(torch.where(most.values > 0, valid.argmax(2), patch))
        counted = number
    return torch.stack(chosen)
