"""Labels by retrieval: the nearest entries of a labelled memory vote.

References: Cover and Hart, *Nearest neighbor pattern classification*, 1967; Hwang et al., *SegSort:
segmentation by discriminative sorting of segments*, ICCV 2019; Ke et al. (HSG), CVPR 2022.
"""

import torch
from torch import Tensor

from mmcroc.numerics.precision import at_least_float32, full_float32

#: Similarities computed at once: 64 MiB of float32 on a CPU, 1 GiB on a GPU.
_AT_ONCE = {'cpu': 2**24}
_AT_ONCE_GPU = 2**28


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
    if queries.dim() != 2 or memory.dim() != 2 or queries.shape[1] != memory.shape[1]:
        raise ValueError(
            f'queries {tuple(queries.shape)} and memory {tuple(memory.shape)} must be (Q, D) and '
            '(M, D): are they embeddings of the same model?'
        )
    if not 0 < num_neighbours <= len(memory):
        raise ValueError(
            f'{num_neighbours} neighbours of a memory of {len(memory)} entries: ask for fewer '
            'neighbours, at least 1, or fill the memory from more images'
        )
    if chunk_size is None:
        chunk_size = _AT_ONCE.get(queries.device.type, _AT_ONCE_GPU)
    # Many queries are taken in turns too: a chunk of the memory should not become too narrow.
    rows = max(chunk_size // 4096, 1)
    near = [
        _nearest(own, memory, num_neighbours, max(chunk_size // len(own), 1))
        for own in queries.split(rows)
        if len(own)
    ]
    if not near:
        shape = 0, num_neighbours
        return queries.new_zeros(shape), torch.zeros(shape, dtype=torch.long, device=queries.device)
    similarities, places = zip(*near, strict=True)
    return torch.cat(similarities), torch.cat(places)


def _nearest(queries: Tensor, memory: Tensor, number: int, chunk: int) -> tuple[Tensor, Tensor]:
    """Cosines and places in the memory of the ``number`` nearest entries: twice (Q, number)."""
    best = queries.new_empty(len(queries), 0, dtype=at_least_float32(queries).dtype)
    place = torch.empty(best.shape, dtype=torch.long, device=queries.device)
    with full_float32(queries.device):
        queries = at_least_float32(queries)
        for start in range(0, len(memory), chunk):
            part = memory[start : start + chunk].to(queries)
            similarity = queries @ part.T
            values, where = similarity.topk(min(number, len(part)), dim=1)
            both, places = torch.cat([best, values], 1), torch.cat([place, where + start], 1)
            best, order = both.topk(min(number, both.shape[1]), dim=1)
            place = places.gather(1, order)
    return best, place


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
