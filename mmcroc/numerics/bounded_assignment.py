"""Nearest centroids of points, kept up while centroids move: only what may change is looked at.

Of every point an upper bound of the distance to its own centroid is known, and by group of
centroids a lower bound of the distances to the others. A centroid that moves by δ changes a
distance by δ at most; while the own bound stays below the others', the label stands, and no
distance is computed. The labels are those of a search over all centroids.

References: Hamerly, *Making k-means even faster*, 2010; Ding et al., *Yinyang k-means*, 2015.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.kmeans_lloyd import Points, chunks, first_greatest, map_parts, split_in_parts

#: Centroids that share a lower bound.
GROUP = 32
#: Rounding of a squared distance in float32, as a share of the greatest squared norm.
SLACK = 1e-5
#: Points whose bounds are moved at once on a CPU.
BOUNDS_CHUNK = 2**16
#: Points chosen, in a row or by their numbers.
Chosen = slice | Tensor


class BoundedAssignment:
    """Labels of points, and the sums of each label's.

    Args:
        points: Points (N, D), float32 or wider.
        num_clusters: Number K of centroids.
        chunk_size: Number of points looked at at once. Default: as suits the device.

    Attributes:
        labels: Nearest centroid of each point, int64 (N,), as of the last :meth:`assign`.
        sums: Sum of each label's points, float64 (K, D).
        counts: Number of each label's points, float64 (K,).
    """

    def __init__(self, points: Tensor, num_clusters: int, chunk_size: int = 0) -> None:
        self.points, self.num_clusters = points, num_clusters
        self.squares = points.square().sum(1)
        self.slack = SLACK * float(self.squares.max()) if len(points) else 0.0
        self.group = min(num_clusters, GROUP)
        self.num_groups = -(-num_clusters // self.group)
        self.chunk_size = Points(points[None], num_clusters, chunk_size=chunk_size).chunk_size
        self.bounds_size = BOUNDS_CHUNK if points.device.type == 'cpu' else self.chunk_size
        self.labels = torch.full((len(points),), -1, device=points.device)
        self.own = points.new_empty(len(points))
        self.others = points.new_empty(self.num_groups, len(points))
        self.sums = points.new_zeros(num_clusters, points.shape[1], dtype=torch.float64)
        self.counts = self.sums.new_zeros(num_clusters)
        self.centroids: Tensor | None = None

    def assign(self, centroids: Tensor) -> None:
        """Find the nearest of the centroids (K, D); of equally near ones, any."""
        # Centroid j · G + g is the j-th of group g: a group's greatest is then found row by row.
        missing = self.group * self.num_groups - self.num_clusters
        offset = F.pad(centroids.square().sum(1) / -2, (0, missing), value=-torch.inf)[:, None]
        rows = F.pad(centroids, (0, 0, 0, missing))
        moved = None
        if self.centroids is not None:
            moved = (centroids - self.centroids).norm(dim=1) * (1 + SLACK)

        def assign_part(part: range) -> tuple[Tensor, Tensor]:
            sums, counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
            for here in chunks(part, self.bounds_size):
                for some in self._open(here, centroids, moved):
                    self._look_at(some, rows, offset, sums, counts)
            return sums, counts

        parts = split_in_parts(len(self.points), self.bounds_size, centroids.device)
        for sums, counts in map_parts(assign_part, parts):
            self.sums += sums
            self.counts += counts
        self.centroids = centroids

    def _open(self, here: slice, centroids: Tensor, moved: Tensor | None) -> Sequence[Chosen]:
        """Points whose label may change, in chunks; the bounds of all become the centroids'."""
        everything = chunks(range(here.start, here.stop), self.chunk_size)
        if moved is None:
            return everything
        others, own, labels = self.others[:, here], self.own[here], self.labels[here]
        furthest = F.pad(moved, (0, self.group * self.num_groups - self.num_clusters))
        others -= furthest.view(self.group, -1).amax(0)[:, None]
        own += moved.index_select(0, labels)
        nearest = others.amin(0)
        doubtful = (own >= nearest).nonzero()[:, 0]
        if 2 * len(doubtful) > len(own):  # to choose among them costs more than it spares
            return everything
        nearest, labels = nearest.index_select(0, doubtful), labels.index_select(0, doubtful)
        offset = self.points[here].index_select(0, doubtful)
        offset -= centroids.index_select(0, labels)
        distance = (offset.square_().sum(1) + self.slack).sqrt_()
        own.index_copy_(0, doubtful, distance)
        left = (distance >= nearest).nonzero()[:, 0]
        return (doubtful.index_select(0, left) + here.start).split(self.chunk_size)

    def _look_at(
        self, here: Chosen, rows: Tensor, offset: Tensor, sums: Tensor, counts: Tensor
    ) -> None:
        """Label some points by all distances, and add what that changes to the sums.

        Args:
            here: Which points: n of them.
            rows: Centroids (G · group, D), zeros past the last.
            offset: What a centroid's scores begin at, (G · group, 1).
            sums: Sums (K, D) that changes are added to.
            counts: Counts (K,) likewise.
        """
        points = _take(self.points, here)
        scores = torch.addmm(offset, rows, points.T).view(self.group, self.num_groups, -1)
        if self.num_groups == 1:
            within = scores[:, 0]
            best, new = first_greatest(within)
            within.scatter_(0, new[None], -torch.inf)  # the own centroid is no other one
            peaks = within.amax(0, keepdim=True)
        else:
            peaks = scores.amax(0)
            best, group = first_greatest(peaks)
            within = scores.gather(1, group.expand(self.group, 1, -1))[:, 0]
            member = first_greatest(within)[1]
            within.scatter_(0, member[None], -torch.inf)
            peaks.scatter_(0, group[None], within.amax(0, keepdim=True))
            new = member * self.num_groups + group
        squares = _take(self.squares, here)
        _put(self.own, here, (squares - 2 * best).clamp_(min=0).add_(self.slack).sqrt_())
        others = torch.sub(squares, peaks, alpha=2).sub_(self.slack).clamp_(min=0).sqrt_()
        _put(self.others.T, here, others.T)
        old = _take(self.labels, here)
        changes = (new != old).nonzero()[:, 0]
        if not len(changes):
            return
        points = points.index_select(0, changes).double()
        old, changed = old.index_select(0, changes), new.index_select(0, changes)
        _put(self.labels, here, new)
        _add(sums, changed, points)
        counts += changed.bincount(minlength=len(counts))
        had = (old >= 0).nonzero()[:, 0]
        if len(had):
            old = old.index_select(0, had)
            _add(sums, old, points.index_select(0, had).neg_())
            counts -= old.bincount(minlength=len(counts))


def _take(rows: Tensor, here: Chosen) -> Tensor:
    # Not brackets: on a CPU index_select and index_copy_ are several times as fast.
    return rows[here] if isinstance(here, slice) else rows.index_select(0, here)


def _put(rows: Tensor, here: Chosen, values: Tensor) -> None:
    if isinstance(here, slice):
        rows[here] = values
    else:
        rows.index_copy_(0, here, values)


def _add(sums: Tensor, labels: Tensor, points: Tensor) -> None:
    """Add points (n, D) to their labels' sums (K, D), in the same order every time."""
    if sums.device.type == 'cpu':
        sums.index_add_(0, labels, points)
    else:  # where index_add_ takes any order
        sums.index_put_((labels,), points, accumulate=True)
