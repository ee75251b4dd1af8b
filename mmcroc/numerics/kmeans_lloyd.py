"""The two steps of Lloyd's algorithm, in chunks: what :mod:`.kmeans` iterates."""

import torch
from torch.nn import functional as F

from mmcroc.numerics.cpu_threads import map_parts, split_in_parts
from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum

#: Points added up at once on a CPU, at least: each time costs K x D additions in float64.
SUM_CHUNK = 2**14


def default_chunk_size(points, num_clusters):
    """Points per chunk: scores stay in a CPU's cache, or take a few hundred MiB of a GPU."""
    batch = max(points.shape[0], 1)
    if points.device.type == 'cpu':
        return min(max(2**19 // (batch * num_clusters), 1024), 16384)
    return max(2**26 // (batch * num_clusters), 1024)


def e_step(points, centroids, mask, metric, chunk_size, distributed):
    """Each point's best centroid, and, since the points are at hand, what the next M step needs.

    Args:
        points (Tensor): (B, N, D).
        centroids (Tensor): (B, K, D).
        mask (Tensor | None): (B, N), True for the points that count in sums and counts.
        metric (str): 'euclidean' or 'cosine' (then points and centroids are unit vectors).
        chunk_size (int): Points scored at once.
        distributed (bool): Sum over all ranks.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: labels (B, N) int64; scores (B, N), x·c - |c|²/2 for
        the Euclidean metric and x·c for the cosine; sums (B, K, D) and counts (B, K), float64.
    """
    labels = torch.empty(points.shape[:2], dtype=torch.long, device=points.device)
    scores = torch.empty(points.shape[:2], dtype=points.dtype, device=points.device)
    num_clusters = centroids.shape[1]
    offset = centroids.new_zeros(len(centroids), 1, 1)
    if metric == 'euclidean':
        offset = centroids.square().sum(-1)[:, None] / -2

    def assign(part):
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


def _best(score):
    """The greatest entry of each row and the first place it is at, as ``score.max(-1)``."""
    if score.device.type != 'cpu':
        return score.max(-1)
    # numpy's argmax is vectorised, torch's is not: 3 times (K=21) to 6 times (K=500) faster.
    best = torch.from_numpy(score.numpy().argmax(-1))
    return score.gather(-1, best[..., None])[..., 0], best


def sum_by_label(points, labels, num_clusters, mask, chunk_size, distributed):
    """What the M step needs from labels (B, N) in [0, K); else as :func:`e_step`.

    Returns:
        tuple[Tensor, Tensor]: sums (B, K, D) and counts (B, K), float64.
    """
    total = ClusterSums(points, num_clusters, mask)
    total.add_in_chunks(range(points.shape[1]), labels, chunk_size)
    return ClusterSums.result([total], distributed)


class ClusterSums:
    """The sum and the number of the points of each cluster, gathered chunk by chunk.

    Within a chunk the points add up in their own precision, the chunks in float64.

    Args:
        points (Tensor): (B, N, D).
        num_clusters (int): K.
        mask (Tensor | None): (B, N), True for the points that count.
    """

    def __init__(self, points, num_clusters, mask):
        batch, _, dim = points.shape
        self.points, self.num_clusters, self.mask = points, num_clusters, mask
        self.bins = num_clusters + (mask is not None)  # masked points have a bin, which is dropped
        like = {'dtype': torch.float64, 'device': points.device}
        self.sums = torch.zeros(batch, self.bins, dim, **like)
        self.counts = torch.zeros(batch, self.bins, **like)
        self.first_bin = torch.arange(batch, device=points.device)[:, None] * self.bins

    def add_in_chunks(self, part, labels, chunk_size):
        """Add the points of a range, of labels (B, N)."""
        step = chunk_size
        if labels.device.type == 'cpu':  # no one-hot labels there: memory does not grow with K
            step = max(step, SUM_CHUNK)
        for start in range(part.start, part.stop, step):
            here = slice(start, min(start + step, part.stop))
            self.add(here, labels[:, here])

    def add(self, here, labels):
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
    def result(parts, distributed):
        """Sums (B, K, D) and counts (B, K), float64, of all parts, in order, and all ranks."""
        num_clusters = parts[0].num_clusters
        sums = sum(part.sums for part in parts)[:, :num_clusters]
        counts = sum(part.counts for part in parts)[:, :num_clusters]
        if distributed:
            both = all_reduce_sum(torch.cat([sums, counts[..., None]], -1))
            sums, counts = both[..., :-1], both[..., -1]
        return sums, counts


def m_step(sums, counts, previous, metric, empty_clusters):
    """Centroids from their members' sums and counts, in ``previous``'s dtype.

    An empty cluster gets its ``previous`` centroid ('keep', and 'relocate' once nothing could be
    relocated) or the zero vector ('zero').
    """
    if metric == 'cosine':
        centroids = F.normalize(sums, dim=-1)
    else:
        centroids = sums / counts.clamp(min=1)[..., None]
    if empty_clusters != 'zero':
        centroids = torch.where((counts > 0)[..., None], centroids, previous.double())
    return centroids.to(previous.dtype)


def relocate_empty_clusters(points, labels, distances, sums, counts, mask, distributed):
    """Give every empty cluster the point farthest from its centroid, and take it from its cluster.

    The i-th empty cluster gets the i-th farthest point, as in scikit-learn. Points at distance 0
    are left where they are.

    Args:
        points, labels, mask, distributed: As in :func:`e_step`.
        distances (Tensor): (B, N), of each point to its centroid, in any increasing measure that
            is 0 at the centroid.
        sums (Tensor): (B, K, D), float64.
        counts (Tensor): (B, K), float64.

    Returns:
        tuple[Tensor, Tensor]: The new sums and counts.
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


def farthest_points(points, labels, distances, number, distributed):
    """The points of greatest distance over all ranks, the greatest first.

    Returns:
        tuple[Tensor, Tensor, Tensor]: distances (B, number), labels (B, number) and points
        (B, number, D), float64 but for the labels; distance 0 where there are too few points.
    """
    here = min(number, points.shape[1])
    value, where = distances.topk(here, dim=1)
    point = points.gather(1, where[..., None].expand(-1, -1, points.shape[2]))
    rows = [value[..., None].double(), labels.gather(1, where)[..., None].double(), point.double()]
    rows = F.pad(torch.cat(rows, -1), (0, 0, 0, number - here))
    if distributed:
        rows = all_gather_stack(rows).transpose(0, 1).flatten(1, 2)  # (B, ranks · number, D + 2)
        where = rows[..., 0].topk(number, dim=1).indices
        rows = rows.gather(1, where[..., None].expand(-1, -1, rows.shape[2]))
    return rows[..., 0], rows[..., 1].long(), rows[..., 2:]
