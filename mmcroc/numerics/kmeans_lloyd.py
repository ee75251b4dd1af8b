"""The two steps of Lloyd's algorithm, in chunks: what :mod:`.kmeans` iterates.

On a CPU parts of the points run side by side on its cores: a chunk that fits a core's cache is too
small to be split again inside each operation, and some operations (numpy's argmax, index_add_ in
order) never are. Whole chunks on each core keep both.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum

Part = TypeVar('Part')
Result = TypeVar('Result')

#: Least number of points added up at once on a CPU: each time costs K x D additions in float64.
SUM_CHUNK = 2**14
#: Number of parts that may run side by side. The same on every machine: sums over parts then do not
#: depend on the number of threads.
NUM_PARTS = 16


def default_chunk_size(points: Tensor, num_clusters: int) -> int:
    """Number of points per chunk: scores fit a CPU's cache, or a few hundred MiB of a GPU."""
    batch = max(points.shape[0], 1)
    if points.device.type == 'cpu':
        return min(max(2**19 // (batch * num_clusters), 1024), 16384)
    return max(2**26 // (batch * num_clusters), 1024)


def e_step(
    points: Tensor,
    centroids: Tensor,
    mask: Tensor | None,
    metric: str,
    chunk_size: int,
    distributed: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find each point's best centroid and, the points being at hand, what the next M step needs.

    Args:
        points: Points (B, N, D).
        centroids: Centroids (B, K, D).
        mask: True for the points that count in sums and counts, (B, N). None: all.
        metric: Distance, 'euclidean' or 'cosine' (then points and centroids are unit vectors).
        chunk_size: Number of points scored at once.
        distributed: Whether to sum over all ranks.

    Returns:
        Labels, int64 (B, N); scores (B, N), x·c - |c|²/2 for the
        Euclidean metric and x·c for the cosine; sums (B, K, D) and counts (B, K), float64.
    """
    labels = torch.empty(points.shape[:2], dtype=torch.long, device=points.device)
    scores = torch.empty(points.shape[:2], dtype=points.dtype, device=points.device)
    num_clusters = centroids.shape[1]
    offset = centroids.new_zeros(len(centroids), 1, 1)
    if metric == 'euclidean':
        offset = centroids.square().sum(-1)[:, None] / -2

    def assign(part: range) -> ClusterSums:
        total = ClusterSums(points, num_clusters, mask)
        # One buffer: fresh memory for every chunk costs as much as the product.
        score = points.new_empty(len(points), min(chunk_size, len(part)), num_clusters)
        for start in range(part.start, part.stop, chunk_size):
            here = slice(start, min(start + chunk_size, part.stop))
            chunk = score[:, : here.stop - start]
            torch.baddbmm(offset, points[:, here], centroids.mT, out=chunk)
            scores[:, here], labels[:, here] = _best(chunk)
        total.add_in_chunks(part, labels, chunk_size)
        return total

    totals = map_parts(assign, split_in_parts(points.shape[1], chunk_size, points.device))
    return labels, scores, *ClusterSums.result(totals, distributed)


def _best(score: Tensor) -> tuple[Tensor, Tensor]:
    """Greatest entry of each row and the first place it is at, as ``score.max(-1)``."""
    if score.device.type != 'cpu':
        values, places = score.max(-1)
        return values, places
    # numpy's argmax is vectorised, torch's is not: 3 times (K=21) to 6 times (K=500) faster.
    best = torch.from_numpy(score.numpy().argmax(-1))
    return score.gather(-1, best[..., None])[..., 0], best


def sum_by_label(
    points: Tensor,
    labels: Tensor,
    num_clusters: int,
    mask: Tensor | None,
    chunk_size: int,
    distributed: bool,
) -> tuple[Tensor, Tensor]:
    """Sum up what the M step needs from labels (B, N) in [0, K).

    The other arguments are those of :func:`e_step`.

    Returns:
        Sums (B, K, D) and counts (B, K), float64.
    """
    total = ClusterSums(points, num_clusters, mask)
    total.add_in_chunks(range(points.shape[1]), labels, chunk_size)
    return ClusterSums.result([total], distributed)


class ClusterSums:
    """Sum and number of the points of each cluster, gathered chunk by chunk.

    Within a chunk the points add up in their own precision, the chunks in float64.

    Args:
        points: Points (B, N, D).
        num_clusters: Number K of clusters.
        mask: True for the points that count, (B, N). None: all.
    """

    def __init__(self, points: Tensor, num_clusters: int, mask: Tensor | None) -> None:
        batch, _, dim = points.shape
        self.points, self.num_clusters, self.mask = points, num_clusters, mask
        self.bins = num_clusters + (mask is not None)  # masked points have a bin, which is dropped
        self.sums = points.new_zeros(batch, self.bins, dim, dtype=torch.float64)
        self.counts = points.new_zeros(batch, self.bins, dtype=torch.float64)
        self.first_bin = torch.arange(batch, device=points.device)[:, None] * self.bins

    def add_in_chunks(self, part: range, labels: Tensor, chunk_size: int) -> None:
        """Add the points of a range, of labels (B, N)."""
        step = chunk_size
        if labels.device.type == 'cpu':  # no one-hot labels there: memory does not grow with K
            step = max(step, SUM_CHUNK)
        for start in range(part.start, part.stop, step):
            here = slice(start, min(start + step, part.stop))
            self.add(here, labels[:, here])

    def add(self, here: slice, labels: Tensor) -> None:
        """Add the points at the slice ``here``, of labels (B, chunk)."""
        points = self.points[:, here]
        if self.mask is not None:
            labels = labels.masked_fill(~self.mask[:, here], self.num_clusters)
        if points.device.type == 'cpu':
            # Runs in order there, so it is deterministic, and it is faster than a product.
            bins = (labels + self.first_bin).flatten()
            sums = points.new_zeros(self.counts.numel(), points.shape[2])
            sums.index_add_(0, bins, points.reshape(len(bins), -1))
            self.sums += sums.view_as(self.sums)
            self.counts += bins.bincount(minlength=len(sums)).view_as(self.counts)
        else:
            # A GPU scatters in any order; a product with one-hot labels is deterministic.
            member = points.new_zeros(*labels.shape, self.bins).scatter_(2, labels[..., None], 1)
            self.sums += torch.bmm(member.mT, points)
            self.counts += member.sum(1)

    @staticmethod
    def result(parts: Sequence['ClusterSums'], distributed: bool) -> tuple[Tensor, Tensor]:
        """Sums (B, K, D) and counts (B, K), float64, of all parts, in order, and all ranks."""
        num_clusters = parts[0].num_clusters
        first, *rest = parts
        sums = sum((part.sums for part in rest), first.sums)[:, :num_clusters]
        counts = sum((part.counts for part in rest), first.counts)[:, :num_clusters]
        if distributed:
            both = all_reduce_sum(torch.cat([sums, counts[..., None]], -1))
            sums, counts = both[..., :-1], both[..., -1]
        return sums, counts


def m_step(
    sums: Tensor, counts: Tensor, previous: Tensor, metric: str, empty_clusters: str
) -> Tensor:
    """Compute centroids from their members' sums and counts, in ``previous``'s dtype.

    XX
        relocated) or the zero vector ('zero').
    """
    if metric == 'cosine':
        centroids = F.normalize(sums, dim=-1)
    else:
        centroids = sums / counts.clamp(min=1)[..., None]
    if empty_clusters != 'zero':
        centroids = torch.where((counts > 0)[..., None], centroids, previous.double())
    return centroids.to(previous.dtype)


def relocate_empty_clusters(
    points: Tensor,
    labels: Tensor,
    distances: Tensor,
    sums: Tensor,
    counts: Tensor,
    mask: Tensor | None,
    distributed: bool,
) -> tuple[Tensor, Tensor]:
    """Give every empty cluster the point farthest from its centroid, and take it from its cluster.

    The i-th empty cluster gets the i-th farthest point, as in scikit-learn. Points at distance 0
    are left where they are.

    Args:
        points: Points (B, N, D).
        labels: Cluster of each point (B, N).
        distances: Distance of each point to its centroid (B, N), in any increasing measure that is
            0 at the centroid.
        sums: Sums of the clusters' points, float64 (B, K, D).
        counts: Numbers of the clusters' points, float64 (B, K).
        mask: True for the points that count, (B, N). None: all.
        distributed: Whether the points are one rank's share.

    Returns:
        Sums and counts after the relocation.
    """
    empty = counts == 0
    num_clusters = counts.shape[1]
    if mask is not None:
        distances = distances.masked_fill(~mask, 0)
    far = farthest_points(points, labels, distances, num_clusters, distributed)
    far_distance, far_label, far_point = far
    order = empty.cumsum(1) - 1  # the i of an empty cluster
    wanted = torch.arange(num_clusters, device=counts.device) < empty.sum(1, keepdim=True)
    moved = (wanted & (far_distance > 0)).double()  # (B, i): the i-th farthest point moves
    donor = F.one_hot(far_label, num_clusters).double() * moved[..., None]  # (B, i, K)
    receiver = F.one_hot(order.clamp(min=0), num_clusters).double() * empty[..., None]  # (B, K, i)
    receiver = receiver * moved[:, None]
    sums = sums + torch.bmm(receiver - donor.mT, far_point)
    counts = counts + (receiver - donor.mT).sum(-1)
    # What is left of a cluster that gave its last point away is rounding.
    return torch.where((counts > 0)[..., None], sums, 0.0), counts


def farthest_points(
    points: Tensor, labels: Tensor, distances: Tensor, number: int, distributed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the points of greatest distance over all ranks, the greatest first.

    Returns:
        Distances (B, number), labels (B, number) and points (B, number, D), float64 but for the
        labels; distance 0 where there are too few points.
    """
    here = min(number, points.shape[1])
    value, where = distances.topk(here, dim=1)
    point = points.gather(1, where[..., None].expand(-1, -1, points.shape[2]))
    label = labels.gather(1, where)
    rows = torch.cat([value[..., None].double(), label[..., None].double(), point.double()], -1)
    rows = F.pad(rows, (0, 0, 0, number - here))
    if distributed:
        rows = all_gather_stack(rows).transpose(0, 1).flatten(1, 2)  # (B, ranks · number, D + 2)
        where = rows[..., 0].topk(number, dim=1).indices
        rows = rows.gather(1, where[..., None].expand(-1, -1, rows.shape[2]))
    return rows[..., 0], rows[..., 1].long(), rows[..., 2:]


def split_in_parts(length: int, chunk_size: int, device: torch.device | str) -> list[range]:
    """Cover ``range(length)`` in order by contiguous ranges of whole chunks but for the last.

    Returns:
        Ranges, at most ``NUM_PARTS`` on a CPU, one on any other device.
    """
    if torch.device(device).type != 'cpu':
        return [range(length)]
    num_chunks = -(-length // chunk_size)
    step = max(-(-num_chunks // NUM_PARTS), 1) * chunk_size
    return [range(start, min(start + step, length)) for start in range(0, length, step)]


def map_parts(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Call a function on every part, on as many threads as torch is allowed.

    Within a part torch runs on one thread, so cores are not asked for twice. Gradients are not
    recorded.

    Args:
        function: Function of a part. The parts' calls must not write to the same places.
        parts: Arguments, one each.

    Returns:
        Results, in order.
    """
    num_threads = torch.get_num_threads()
    inference = torch.is_inference_mode_enabled()

    def call(part: Part) -> Result:
        # Both modes belong to the thread that set them.
        with torch.inference_mode(inference), torch.no_grad():
            return function(part)

    if min(num_threads, len(parts)) == 1:
        return [call(part) for part in parts]
    torch.set_num_threads(1)  # threads started from here on have one
    try:
        with ThreadPoolExecutor(min(num_threads, len(parts))) as pool:
            return list(pool.map(call, parts))
    finally:
        torch.set_num_threads(num_threads)
