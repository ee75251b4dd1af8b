"""Nearest centroids of points, kept up while centroids move: only what may change is looked at.

Of every point an upper bound of the distance to its own centroid is known, and by group of
centroids a lower bound of the distances to the others. A centroid that moves by δ changes a
distance by δ at most; while the own bound stays below the others', the label stands, and no
distance is computed. The labels are those of a search over all centroids.

References: Hamerly, *Making k-means even faster*, 2010; Ding et al., *Yinyang k-means*, 2015.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcroc.numerics.kmeans_lloyd import map_parts, split_in_parts

#: Centroids that share a lower bound.
GROUP = 16
#: Rounding of a squared distance in float32, as a share of the greatest squared norm.
SLACK = 1e-5
#: Scores held at once: what fits a CPU's cache, or 256 MiB of a GPU.
_SCORES = {'cpu': 2**19}
_SCORES_GPU = 2**26


class BoundedAssignment:
    """Labels of points, and the sums of each label's.

    Args:
        points: Points (N, D), float32.
        num_clusters: Number K of centroids.

    Attributes:
        labels: Nearest centroid of each point, int64 (N,), as of the last :meth:`assign`.
        sums: Sum of each label's points, float64 (K, D).
        counts: Number of each label's points, float64 (K,).
    """

    def __init__(self, points: Tensor, num_clusters: int) -> None:
        self.points, self.num_clusters = points, num_clusters
        self.squares = points.square().sum(1)
        self.slack = SLACK * float(self.squares.max())
        self.num_groups = -(-num_clusters // GROUP)
        self.chunk_size = max(_SCORES.get(points.device.type, _SCORES_GPU) // num_clusters, 256)
        self.labels = torch.full((len(points),), -1, device=points.device)
        self.own = points.new_empty(len(points))
        self.others = points.new_empty(len(points), self.num_groups)
        self.sums = points.new_zeros(num_clusters, points.shape[1], dtype=torch.float64)
        self.counts = self.sums.new_zeros(num_clusters)
        self.centroids: Tensor | None = None

    def assign(self, centroids: Tensor) -> None:
        """Find the nearest of the centroids (K, D); of equally near ones, any."""
        open_points = self._open(centroids)
        self.centroids = centroids
        # Centroid j · G + g is the j-th of group g: the greatest of a group is then found lane by
        # lane, and no memory moves.
        missing = GROUP * self.num_groups - self.num_clusters
        offset = F.pad(centroids.square().sum(1) / -2, (0, missing), value=-torch.inf)
        columns = F.pad(centroids, (0, 0, 0, missing)).T.contiguous()

        def look_at(part: range) -> tuple[Tensor, Tensor]:
            found = [
                self._look_at(open_points[start : min(start + self.chunk_size, part.stop)],
                              columns, offset)
                for start in range(part.start, part.stop, self.chunk_size)
            ]  # fmt: skip
            changed, labels = zip(*found, strict=True)
            return torch.cat(changed), torch.cat(labels)

        parts = split_in_parts(len(open_points), self.chunk_size, centroids.device)
        for changed, labels in map_parts(look_at, parts):
            points = self.points[changed].double()
            old = self.labels[changed]
            had = old >= 0
            self._add(old[had], -points[had])
            self._add(labels, points)
            self.labels[changed] = labels
        self.counts = self.labels.bincount(minlength=self.num_clusters).double()

    def objective(self) -> Tensor:
        """Sum of squared distances to the centroids of the last :meth:`assign`, float64 ()."""
        assert self.centroids is not None
        parts = zip(self.points.split(2**14), self.labels.split(2**14), strict=True)
        return torch.stack([
            (points - self.centroids[labels]).square().sum(dtype=torch.float64)
            for points, labels in parts
        ]).sum()  # fmt: skip

    def _add(self, labels: Tensor, points: Tensor) -> None:
        # Unlike index_add_, in the same order every time on a GPU too.
        self.sums.index_put_((labels,), points, accumulate=True)

    def _open(self, centroids: Tensor) -> Tensor:
        """Points, int64 (n,), whose label may change; bounds of all are those of the centroids."""
        if self.centroids is None:
            return torch.arange(len(self.points), device=self.points.device)
        moved = (centroids - self.centroids).norm(dim=1) * (1 + SLACK)
        furthest = F.pad(moved, (0, GROUP * self.num_groups - self.num_clusters))
        self.others -= furthest.view(GROUP, self.num_groups).amax(0)
        self.own += moved[self.labels]
        nearest = self.others.amin(1)
        doubtful = (self.own >= nearest).nonzero()[:, 0]
        distance = (self.points[doubtful] - centroids[self.labels[doubtful]]).square().sum(1)
        self.own[doubtful] = distance = (distance + self.slack).sqrt()
        return doubtful[distance >= nearest[doubtful]]

    def _look_at(self, here: Tensor, columns: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of some points, int64 (n,), by all distances; which change labels, and these."""
        scores = torch.addmm(offset, self.points[here], columns).view(-1, GROUP, self.num_groups)
        peaks = scores.amax(1)
        best, group = peaks.max(1)
        lane = group[:, None, None].expand(-1, GROUP, 1)
        within = scores.gather(2, lane)[..., 0]
        member = within.argmax(1)
        # The own centroid is no other one.
        within.scatter_(1, member[:, None], -torch.inf)
        peaks.scatter_(1, group[:, None], within.amax(1, keepdim=True))
        squares = self.squares[here]
        self.own[here] = (squares - 2 * best).clamp_(min=0).add_(self.slack).sqrt_()
        others = (squares[:, None] - 2 * peaks).sub_(self.slack)
        self.others[here] = others.clamp_(min=0).sqrt_()
        labels = member * self.num_groups + group
        changes = labels != self.labels[here]
        return here[changes], labels[changes]
