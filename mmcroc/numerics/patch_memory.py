"""A memory of labelled patches, and what the nearest of them say about others.

References: Balazevic et al., *Towards in-context scene understanding* (hummingbird), NeurIPS 2023;
Pariza et al., *open-hummingbird-eval*, 2024, for sampling and labels.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.numerics.inner_product_search import MemoryPart, greatest_products
from mmcroc.numerics.precision import full_float32

#: Bytes of a memory that ranks exchange at once.
_EXCHANGED = 2**26
#: Entries of neighbours' labels held at once.
_LABELS = 2**25


def patch_label_counts(
    mask: Tensor,
    grid: Sequence[int],
    num_classes: int,
    void: int = 255,
    void_class: int | None = None,
) -> Tensor:
    """Count the pixels of each class in each patch of a mask.

    Args:
        mask: Labels (H, W), integers in [0, C) or ``void``.
        grid: Rows h and columns w of patches.
        num_classes: Number C of classes.
        void: Label of pixels without a class.
        void_class: Class that such pixels count as. Default: none.

    Returns:
        Numbers of pixels, int16 (h · w, C), patches row by row.

    Raises:
        ValueError: The mask does not divide into these patches.
    """
    (height, width), (rows, columns) = mask.shape, grid
    if height % rows or width % columns:
        raise ValueError(
            f'a mask of {height}x{width} does not divide into {rows}x{columns} patches: take an '
            'image size that is a multiple of the patch (512 for 16, 504 or 518 for 14 pixels)'
        )
    labels = torch.where(mask == void, num_classes if void_class is None else void_class, mask)
    labels = labels.long().view(rows, height // rows, columns, width // columns)
    labels = labels.transpose(1, 2).reshape(rows * columns, -1)
    counts = torch.zeros(len(labels), num_classes + 1, dtype=torch.int16, device=mask.device)
    ones = torch.ones((), dtype=torch.int16, device=mask.device).expand(labels.shape)
    return counts.scatter_add_(1, labels, ones)[:, :num_classes]


def patch_frequencies(counts: Tensor) -> Tensor:
    """Sum over the classes present in a patch of the number of patches that each is present in.

    A bounded memory keeps the patches of an image where this, times a random number, is least:
    rare classes are kept more often than frequent ones.

    Args:
        counts: Numbers of pixels (n, C) of one image's patches, from :func:`patch_label_counts`.

    Returns:
        Sums, float32 (n,).
    """
    present = (counts > 0).long()
    return (present * present.sum(0)).sum(1).float()


class MemoryLayout:
    """Places of all images' patches in a memory that serves several searches.

    Search s sees the images ``members[s]``, and of each and every pass the first ``per_image[s]``
    patches in the order of their sampling. Rows that belong to the same searches lie together, so
    that a search of all of them computes each product once.

    Args:
        members: Images of each search, bool (S, N).
        per_image: Number of an image's patches that each search sees.
        num_passes: Number of passes over the images.
    """

    def __init__(self, members: Tensor, per_image: Sequence[int], num_passes: int = 1) -> None:
        kinds, kind_of = members.T.unique(dim=0, return_inverse=True)
        #: For every image: (first row of its part, rows of a pass there, first and last rank).
        self.ranges: list[list[tuple[int, int, int, int]]] = [[] for _ in range(members.shape[1])]
        self.parts: list[MemoryPart] = []
        self.num_rows = 0
        for kind, searches in enumerate(kinds.tolist()):
            images = (kind_of == kind).nonzero()[:, 0].tolist()
            ends = {per_image[search] for search, inside in enumerate(searches) if inside}
            begin = 0
            for end in sorted(ends):
                served = [s for s, inside in enumerate(searches) if inside and per_image[s] >= end]
                rows, start = end - begin, self.num_rows
                for place, image in enumerate(images):
                    self.ranges[image].append(
                        (start + place * rows, rows * len(images), begin, end)
                    )
                self.num_rows += num_passes * rows * len(images)
                self.parts.append(MemoryPart(start, self.num_rows, served))
                begin = end
        self.num_searches = len(members)


class PatchMemory:
    """Unit vectors of patches, and the numbers of their pixels by class.

    Args:
        layout: Places of the patches.
        dim: Dimension D of the vectors.
        num_classes: Number C of classes.
        dtype: Type of the vectors.
        device: Device of the memory.
        folder: Folder of a file that the memory is mapped from, instead; all ranks share the file,
            which is gone when they end. Default: none.

    Attributes:
        features: Unit vectors (M, D).
        counts: Numbers of pixels, int16 (M, C).
        parts: Parts of the memory and the searches that see them.
    """

    def __init__(
        self,
        layout: MemoryLayout,
        dim: int,
        num_classes: int,
        dtype: torch.dtype,
        device: torch.device,
        folder: str | os.PathLike | None = None,
    ) -> None:
        self.layout, self.parts, self.mapped = layout, layout.parts, folder is not None
        rows = layout.num_rows
        if folder is None:
            self.features = torch.zeros(rows, dim, dtype=dtype, device=device)
            self.counts = torch.zeros(rows, num_classes, dtype=torch.int16, device=device)
        else:
            self.features, self.counts = (
                _shared_file(Path(folder), name, rows * columns, kind).view(rows, columns)
                for name, columns, kind in (
                    ('features', dim, dtype),
                    ('counts', num_classes, torch.int16),
                )
            )
        self.filled = torch.zeros(rows, dtype=torch.bool)

    @staticmethod
    def gibibytes(layout: MemoryLayout, dim: int, num_classes: int, dtype: torch.dtype) -> float:
        """Room that a memory takes, GiB."""
        return layout.num_rows * (dim * dtype.itemsize + 2 * num_classes) / 2**30

    def put(self, turn: int, number: int, tokens: Tensor, counts: Tensor, order: Tensor) -> None:
        """Keep the patches of an image.

        Args:
            turn: Number of the pass.
            number: Place of the image in the data set.
            tokens: Vectors of its patches (n, D).
            counts: Numbers of pixels (n, C), from :func:`patch_label_counts`.
            order: Patches in the order of their sampling; those left out are not kept.
        """
        vectors = F.normalize(tokens.float(), dim=1)
        for start, rows_of_pass, begin, end in self.layout.ranges[number]:
            chosen = order[begin:end]
            first = start + turn * rows_of_pass
            rows = slice(first, first + len(chosen))
            self.features[rows] = vectors[chosen].to(self.features)
            self.counts[rows] = counts[chosen].to(self.counts)
            self.filled[rows] = True

    def finish(self) -> None:
        """Unite the ranks' patches, and close the gaps of patches that were not kept.

        Every rank must call.
        """
        if self.mapped:
            self.filled = all_reduce_sum(self.filled.byte()).bool()  # a barrier, too
        elif get_world_size() > 1:
            for tensor in (self.features, self.counts, self.filled):
                for part in tensor.view(torch.uint8).flatten().split(_EXCHANGED):
                    part.copy_(all_reduce_sum(part))
        if bool(self.filled.all()):
            return
        if not self.mapped or get_rank() == 0:
            self._close_gaps()
        ends = torch.cat([torch.zeros(1, dtype=torch.long), self.filled.long().cumsum(0)])
        self.parts = [
            MemoryPart(int(ends[part.start]), int(ends[part.stop]), part.searches)
            for part in self.parts
        ]
        if self.mapped:
            all_reduce_sum(torch.zeros(1))  # no rank reads before

    def _close_gaps(self) -> None:
        """Move all rows that are filled to the front, in their order."""
        done = 0
        for rows in self.filled.nonzero()[:, 0].split(2**16):
            for tensor in (self.features, self.counts):
                tensor[done : done + len(rows)] = tensor[rows.to(tensor.device)]
            done += len(rows)

    def rows_of_searches(self) -> list[int]:
        """Number of rows that each search sees."""
        return [
            sum(part.stop - part.start for part in self.parts if search in part.searches)
            for search in range(self.layout.num_searches)
        ]

    def nearest(self, queries: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Cosines and places of the nearest rows of vectors (Q, D): as ``greatest_products``."""
        queries = F.normalize(queries.float(), dim=1).to(self.features.dtype)
        return greatest_products(queries, self.features, number, self.parts)

    @torch.no_grad()
    def label_shares(self, queries: Tensor, num_neighbours: int, temperature: float) -> Tensor:
        """Share of each class in patches, as their nearest in the memory have it.

        Σ_j softmax_j(cos(q, m_j) / temperature) · share of the class among the pixels of m_j, over
        the nearest rows j, in each search; all rows where there are fewer.

        Args:
            queries: Vectors (Q, D), of any length.
            num_neighbours: Number k of rows.
            temperature: Temperature β of the softmax.

        Returns:
            Shares, float32 (S, Q, C).
        """
        cosines, places = self.nearest(queries, num_neighbours)
        weights = (cosines / temperature).softmax(2)
        classes = self.counts.shape[1]
        shares = torch.empty(*weights.shape[:2], classes, device=queries.device)
        at_once = max(_LABELS // (num_neighbours * classes), 1)
        with full_float32(queries.device):
            for search, (weight, place) in enumerate(zip(weights, places, strict=True)):
                for start in range(0, len(queries), at_once):
                    rows = slice(start, start + at_once)
                    counts = self.counts[place[rows].to(self.counts.device)].to(queries.device)
                    share = counts.float() / counts.sum(2, keepdim=True)
                    shares[search, rows] = (weight[rows, None] @ share)[:, 0]
        return shares


def _shared_file(folder: Path, name: str, size: int, dtype: torch.dtype) -> Tensor:
    """Zeros (size,), mapped from a file that all ranks share and that nobody sees any more.

    Raises:
        ValueError: Another rank's file cannot be seen in the folder.
    """
    stamp = int(all_reduce_sum(torch.tensor(os.getpid() if get_rank() == 0 else 0)))
    path = folder / f'.{name}_{stamp}'
    if get_rank() == 0:
        path.unlink(missing_ok=True)
        mapped = torch.from_file(str(path), shared=True, size=size, dtype=dtype)
    all_reduce_sum(torch.zeros(1))
    if get_rank():
        if not path.exists():
            raise ValueError(
                f'rank {get_rank()} does not see {path}: memory_dir has to be a folder that all '
                'processes share'
            )
        mapped = torch.from_file(str(path), shared=True, size=size, dtype=dtype)
    all_reduce_sum(torch.zeros(1))
    if get_rank() == 0:
        path.unlink()  # what is mapped stays
    return mapped
