"""Labels by retrieval: the nearest entries of a labelled memory vote.

References: Cover and Hart, *Nearest neighbor pattern classification*, 1967; Hwang et al., *SegSort:
segmentation by discriminative sorting of segments*, ICCV 2019; Ke et al. (HSG), CVPR 2022.
"""

import torch

from mmcroc.numerics.precision import at_least_float32, full_float32

#: Similarities computed at once: 64 MiB of float32 on a CPU, 1 GiB on a GPU.
_AT_ONCE = {'cpu': 2**24}
_AT_ONCE_GPU = 2**28


@torch.no_grad()
def nearest_labels(queries, memory, memory_labels, num_neighbours=20, chunk_size=None):
    """Labels of each query's nearest memory entries by cosine, the nearest first.

    Args:
        queries (Tensor): (Q, D), unit vectors.
        memory (Tensor): (M, D), unit vectors.
        memory_labels (Tensor): (M,), integers.
        num_neighbours (int): k.
        chunk_size (int | None): Similarities held at once. Default: as suits the device.

    Returns:
        Tensor: (Q, k), of ``memory_labels``' dtype.

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
def nearest_entries(queries, memory, num_neighbours, chunk_size=None):
    """Each query's nearest memory entries by cosine, the nearest first.

    Exact. Similarities are computed chunk by chunk of the memory, so that never more than a bounded
    number is held; among equally near entries the order is unspecified.

    Args:
        queries (Tensor): (Q, D), unit vectors.
        memory (Tensor): (M, D), unit vectors.
        num_neighbours (int): k.
        chunk_size (int | None): Similarities held at once. Default: as suits the device.

    Returns:
        tuple[Tensor, Tensor]: (Q, k), cosines; (Q, k), int64, places in the memory.

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


def _nearest(queries, memory, number, chunk):
    """Cosines and places in the memory of the ``number`` nearest entries: twice (Q, number)."""
    best = place = None
    with full_float32(queries.device):
        queries = at_least_float32(queries)
        for start in range(0, len(memory), chunk):
            part = memory[start : start + chunk].to(queries)
            similarity = queries @ part.T
            values, where = similarity.topk(min(number, len(part)), dim=1)
            where = where + start
            if best is not None:
                values, where = torch.cat([best, values], 1), torch.cat([place, where], 1)
                values, order = values.topk(min(number, values.shape[1]), dim=1)
                where = where.gather(1, order)
            best, place = values, where
    return best, place


def majority_vote(labels, num_classes):
    """The most frequent label of each row; of several, the lowest.

    Args:
        labels (Tensor): (Q, k), integers in [0, num_classes).
        num_classes (int): C.

    Returns:
        Tensor: (Q,), int64.
    """
    labels = labels.long()
    votes = labels.new_zeros(len(labels), num_classes)
    votes.scatter_add_(1, labels, torch.ones_like(labels))
    return votes.argmax(1)  # the first of equals
