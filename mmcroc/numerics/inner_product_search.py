"""Exact search for the greatest inner products, block by block of the memory.

Every product is computed, by matrix products of a block of the memory with all queries. A block's
best are found in two steps: the k groups of neighbouring rows with the greatest peaks hold its k
greatest products, so that all but k groups of a query are looked at once and no more; on a CPU, all
but those whose peak exceeds the k-th greatest product so far.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.precision import at_least_float32, full_float32

#: Neighbouring rows of which only the peak is looked at first.
GROUP = 32
#: Products held at once: 64 MiB of float32 on a CPU, 1 GiB on a GPU.
_PRODUCTS = {'cpu': 2**24}
_PRODUCTS_GPU = 2**28
#: Queries taken at once, and most rows of a block.
_QUERIES = {'cpu': 2**10}
_QUERIES_GPU = 2**13
_MOST_ROWS = 2**17


class MemoryPart(NamedTuple):
    """Rows ``start`` to ``stop`` of a memory, and the searches that they belong to."""

    start: int
    stop: int
    searches: Sequence[int] = (0,)


class Ranking(NamedTuple):
    """What rows are ranked by: their inner product with the query, times a factor, plus a summand.

    1 / |m| and 0 rank by cosine, 1 and -|m|² / 2 by Euclidean distance; a summand of minus infinity
    leaves a row out.

    Attributes:
        factor: Factor of each row (M,); None: 1.
        summand: Summand of each row (M,); None: 0.
    """

    factor: Tensor | None = None
    summand: Tensor | None = None

    def of(self, products: Tensor, here: slice, room: Tensor | None) -> Tensor:
        """Values (B, Q) of a block of rows, written to ``room`` (None: over the products)."""
        if self.factor is None and self.summand is None:
            return products
        values = products if room is None else room[: len(products)]
        if self.factor is not None:
            products = torch.mul(products, _column(self.factor[here], products, 1), out=values)
        if self.summand is not None:
            products = torch.add(products, _column(self.summand[here], products, 0), out=values)
        return products


def _column(term: Tensor, products: Tensor, padding: float) -> Tensor:
    """A term of rows as a column beside their products, which other rows may pad."""
    return F.pad(term.to(products), (0, len(products) - len(term)), value=padding)[:, None]


@torch.no_grad()
def greatest_products(
    queries: Tensor,
    memory: Tensor,
    number: int,
    parts: Sequence[MemoryPart] | None = None,
    max_products: int | None = None,
    rankings: Sequence[Ranking] = (Ranking(),),
) -> tuple[Tensor, Tensor]:
    """Find each query's greatest inner products with the rows of a memory, the greatest first.

    Several searches of overlapping subsets of the rows, and several rankings, share the products.
    The memory may lie in main memory or be mapped from a file where the queries are on a GPU:
    blocks are brought there. Products are summed in float32 (float64 of float64 queries).
    Half-precision queries of a half-precision memory take a GPU's tensor cores; the products of
    halves are exact all the same.
    Among equal products the choice is unspecified.

    Args:
        queries: Vectors (Q, D).
        memory: Vectors (M, D), of any float type, on the queries' device or in main memory.
        number: Number k of rows to find.
        parts: Parts of the memory and the searches, numbered from 0, that each belongs to. Default:
            one search of all rows.
        max_products: Number of products held at once. Default: as suits the device.
        rankings: R rankings. Default: by the product.

    Returns:
        Products (R·S, Q, k) of each of S searches, by the first ranking, by the second ..., minus
        infinity beyond the number of its rows, and places in the memory, int64 (R·S, Q, k), 0
        there.

    Raises:
        ValueError: Shapes that do not fit each other, or fewer than one row to find.
    """
    if queries.dim() != 2 or memory.dim() != 2 or queries.shape[1] != memory.shape[1]:
        raise ValueError(
            f'queries {tuple(queries.shape)} and memory {tuple(memory.shape)} must be (Q, D) and '
            '(M, D): are they embeddings of the same model?'
        )
    if number < 1:
        raise ValueError(f'at least 1 row has to be asked for, not {number}')
    parts = [MemoryPart(0, len(memory))] if parts is None else parts
    searches = 1 + max((search for part in parts for search in part.searches), default=0)
    device = queries.device
    limit = max_products or _PRODUCTS.get(device.type, _PRODUCTS_GPU)
    # A block of the memory should not become too narrow.
    at_once = max(min(_QUERIES.get(device.type, _QUERIES_GPU), limit // (4 * GROUP)), 1)
    exact = at_least_float32(queries[:0]).dtype
    best = torch.full(
        (len(rankings) * searches, len(queries), number), -torch.inf, dtype=exact, device=device
    )
    place = torch.zeros(best.shape, dtype=torch.long, device=device)
    with full_float32(device):
        for start in range(0, len(queries), at_once):
            chunk = slice(start, start + at_once)
            rows = min(max(limit // len(queries[chunk]) // GROUP, 1) * GROUP, _MOST_ROWS)
            products_of = _Products(queries[chunk], memory, rows)
            found = (
                tensor.unflatten(0, (len(rankings), -1))[:, :, chunk] for tensor in (best, place)
            )
            _search(products_of, parts, rankings, rows, *found)
    return best, place.masked_fill_(best == -torch.inf, 0)


def _search(
    products_of: '_Products',
    parts: Sequence[MemoryPart],
    rankings: Sequence[Ranking],
    rows: int,
    best: Tensor,
    place: Tensor,
) -> None:
    """Write the greatest products of a few queries, and their places, into (R, S, Q, k) each.

    Args:
        products_of: Their products with rows of the memory.
        parts: Parts of the memory.
        rankings: R rankings.
        rows: Number of rows of a block.
        best: Greatest products so far, changed in place.
        place: Their places, changed in place.
    """
    room = products_of.room_beside if len(rankings) > 1 else None
    for part in parts:
        searches = torch.tensor(part.searches, device=best.device)
        for start in range(part.start, part.stop, rows):
            here = slice(start, min(start + rows, part.stop))
            products = products_of(here)
            for ranking, own_best, own_place in zip(rankings, best, place, strict=True):
                values = ranking.of(products, here, room)
                _keep_best(values, start, searches, own_best, own_place)


def _keep_best(products: Tensor, start: int, searches: Tensor, best: Tensor, place: Tensor) -> None:
    """Put the greatest of a block's products (B, Q) among those so far, (S, Q, k)."""
    threshold = best[searches, :, -1].amin(0)
    own, values, where = _best_of_block(products, threshold, best.shape[-1])
    if not len(own):
        return
    old = best[searches[:, None], own], place[searches[:, None], own]
    values = torch.cat([old[0], values.expand(len(searches), -1, -1)], 2)
    where = torch.cat([old[1], (where + start).expand(len(searches), -1, -1)], 2)
    values, order = values.topk(best.shape[-1], dim=2)
    best[searches[:, None], own] = values
    place[searches[:, None], own] = where.gather(2, order)


class _Products:
    """Inner products of blocks of a memory with the same queries.

    Args:
        queries: (Q, D).
        memory: (M, D).
        rows: Most rows of a block.
    """

    def __init__(self, queries: Tensor, memory: Tensor, rows: int) -> None:
        self.device, self.memory, self.rows = queries.device, memory, rows
        # Tensor cores multiply halves exactly and add in float32; torch >= 2.8 hands that sum out.
        self.halves = (
            self.device.type == 'cuda'
            and queries.dtype == memory.dtype
            and memory.dtype in (torch.float16, torch.bfloat16)
            and hasattr(torch.ops.aten.mm, 'dtype')
        )
        self.queries = (queries if self.halves else at_least_float32(queries)).T
        self.room: tuple[Tensor, Tensor] | None = None
        if self.device.type == 'cpu':  # new pages for every block would take a tenth of the time
            dtype, (dim, number) = self.queries.dtype, self.queries.shape
            self.room = (
                torch.empty(0 if memory.dtype == dtype else rows, dim, dtype=dtype),
                torch.empty(rows, number, dtype=dtype),
            )

    @property
    def room_beside(self) -> Tensor:
        """Room (B, Q) for values that do not take the place of the products."""
        return torch.empty(
            self.rows, self.queries.shape[1], dtype=at_least_float32(self.queries[:0]).dtype,
            device=self.device,
        )  # fmt: skip

    def __call__(self, here: slice) -> Tensor:
        """Products (B, Q) with a block of rows, B made a multiple of ``GROUP``.

        The last rows are minus infinity where B was none.
        """
        block = self.memory[here]
        padded = -(-len(block) // GROUP) * GROUP
        if self.room is not None:
            converted, room = self.room
            if len(converted):
                block = converted[: len(block)].copy_(block)
            products = torch.mm(block, self.queries, out=room[: len(block)])
        else:
            block = block.to(self.device, non_blocking=True)
            if self.halves:
                products = torch.mm(block, self.queries, out_dtype=torch.float32)
            else:
                products = block.to(self.queries.dtype) @ self.queries
        if self.room is not None:
            room[len(block) : padded] = -torch.inf
            return room[:padded]
        missing = padded - len(block)
        return F.pad(products, (0, 0, 0, missing), value=-torch.inf) if missing else products


def _best_of_block(
    products: Tensor, threshold: Tensor, number: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest products of each query with a block that may exceed its threshold.

    Args:
        products: (B, Q), B a multiple of ``GROUP``.
        threshold: (Q,), products up to which are not wanted.
        number: Number k of products to find.

    Returns:
        Places of the queries that are looked at (R,), of which others find nothing; their products
        and the places of these in the block, (R, k) each, or fewer where no more are wanted.
    """
    grouped = products.view(-1, GROUP, products.shape[1])
    peaks = grouped.amax(1)
    groups = min(number, len(peaks))
    if products.device.type == 'cpu':
        promising = (peaks > threshold).sum(0, dtype=torch.int32)
        own = promising.nonzero()[:, 0]
        peaks, groups = peaks[:, own], min(groups, int(promising.max()))
    else:  # the host would have to wait for the numbers
        own = torch.arange(products.shape[1], device=products.device)
    group = peaks.T.topk(groups, dim=1).indices
    candidates = grouped[group, :, own[:, None]].flatten(1)
    values, which = candidates.topk(min(number, candidates.shape[1]), dim=1)
    return own, values, group.gather(1, which // GROUP) * GROUP + which % GROUP
