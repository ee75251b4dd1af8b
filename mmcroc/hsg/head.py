"""HSG's losses: contrast over segments, fine and coarse groups, goodness of the grouping."""

from itertools import pairwise

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.hsg.contrast import SegmentContrast, centroid_contrast, divisor
from mmcroc.hsg.grouping import Grouping, coarser_assignment, group_means
from mmcroc.hsg.modularity import balance_loss, modularity_loss, neighbour_graph
from mmcroc.hsg.segment_limit import DeferredLimit
from mmcroc.hsg.segments import (
    REGION_IDS,
    Segments,
    cluster_pixels,
    cut_along_regions,
    segment_means,
    segment_prototypes,
)
from mmcroc.numerics.distributed import all_reduce_max
from mmcroc.numerics.precision import at_least_float32, full_float32
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import MODELS

NEIGHBOUR_GRAPHS = ('view', 'image')
NUM_VIEWS = 2


@MODELS.register_module()
class HSGHead(BaseModule):
    """Hierarchical segment grouping: all losses of HSG, for any number of levels.

    The weighted terms: appearance 1, ``grouping_weight`` for the contrast over each level's
    groups, ``goodness_weight`` for modularity and balance of each level, ``centroid_weight`` for
    the contrast among each level's centroids. Pixels and centroids are contrasted with the
    prototypes and centroids of all ranks. Every term is a mean over pixels (images, centroids):
    by default, as released, over each rank's own, and gradients are averaged over ranks; a rank
    whose pixels are mostly ignored then weighs as much as any other.

    Args:
        num_groups: Groups of each level, fine to coarse; ``[]`` leaves the appearance term only.
        transformer: :class:`ClusteringTransformer` of every level, without ``num_groups``.
        grid: Rows and columns of the k-means' start. (1, 1): segments are the regions themselves.
        kmeans_iterations: Iterations of the k-means.
        max_segments: Places for an image's segments (both views'); an image of more stops the run,
            on a GPU by the next checkpoint at the latest. Part of the loss: empty places count in
            the balance and enter the transformers' batch norms. None: as many as the batch needs,
            which takes a host synchronisation per step.
        concentration: κ of all contrasts.
        grouping_weight: See above.
        goodness_weight: See above.
        centroid_weight: See above.
        num_neighbours: k of the neighbour graph.
        neighbour_graph: ``'view'``: k neighbours in each view; ``'image'``: k in both together.
        sync_statistics: Take the means over all ranks' pixels (images, centroids), so that a step
            does not depend on how its batch is split over ranks.
        init_cfg: As MMEngine's.
    """

    def __init__(
        self,
        num_groups: list[int] = (8, 4),
        transformer: dict | None = None,
        grid: tuple[int, int] = (4, 4),
        kmeans_iterations: int = 15,
        max_segments: int | None = None,
        concentration: float = 16.0,
        grouping_weight: float = 0.1,
        goodness_weight: float = 1.0,
        centroid_weight: float = 1.0,
        num_neighbours: int = 2,
        neighbour_graph: str = 'view',
        sync_statistics: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        num_groups = list(num_groups)
        if any(k < 2 for k in num_groups) or any(a <= b for a, b in pairwise(num_groups)):
            raise ValueError(
                'HSGHead: num_groups must fall from level to level and be at least 2, got '
                f'{num_groups}'
            )
        if neighbour_graph not in NEIGHBOUR_GRAPHS:
            raise ValueError(
                f'HSGHead: neighbour_graph={neighbour_graph!r} is none of {NEIGHBOUR_GRAPHS}'
            )
        positive = dict(
            grid=min(grid), kmeans_iterations=kmeans_iterations, num_neighbours=num_neighbours,
            max_segments=1 if max_segments is None else max_segments,
        )  # fmt: skip
        for name, value in positive.items():
            if value < 1:
                raise ValueError(f'HSGHead: {name} must be positive, got {value}')
        transformer = dict(dict(type='mmcroc.ClusteringTransformer'), **(transformer or {}))
        self.levels = nn.ModuleList(
            MODELS.build(dict(transformer, num_groups=groups, is_last=groups == num_groups[-1]))
            for groups in num_groups
        )
        self.num_groups = tuple(num_groups)
        self.grid = tuple(grid)
        self.kmeans_iterations = kmeans_iterations
        self.max_segments = max_segments
        self.concentration = concentration
        self.grouping_weight = grouping_weight
        self.goodness_weight = goodness_weight
        self.centroid_weight = centroid_weight
        self.num_neighbours = num_neighbours
        self.neighbour_graph = neighbour_graph
        self.sync_statistics = sync_statistics
        self.segment_limit = DeferredLimit(
            max_segments,
            'HSGHead: an image has {value} segments, but max_segments={limit}: raise '
            'model.head.max_segments, lower model.head.grid={grid}, or make over-segmentations of '
            'fewer regions (tools/prepare_oversegmentation.py --max-regions).',
            grid=self.grid,
        )

    def _save_to_state_dict(self, *args, **kwargs):
        """As torch's, of weights that no step with too many segments has gone into unnoticed."""
        self.segment_limit.wait()
        super()._save_to_state_dict(*args, **kwargs)

    def segment(self, embedding: Tensor, regions: Tensor, num_views: int = NUM_VIEWS) -> Segments:
        """Cluster the pixels of every view and cut the clusters along regions.

        Args:
            embedding: (N·V, C, h, w), the views of an image next to each other.
            regions: (N·V, H, W) integers, -1 where ignored; resized to h x w by nearest neighbour.
            num_views: V.

        Returns:
            The segments of N images.
        """
        regions = nearest_resize(regions, *embedding.shape[-2:])
        clusters = cluster_pixels(
            embedding.detach(), regions >= 0, self.grid, self.kmeans_iterations
        )
        return cut_along_regions(clusters, regions, num_views, self.max_segments)

    def group(self, nodes: Tensor, position: Tensor, mask: Tensor) -> list[Grouping]:
        """Groups of the nodes at every level.

        Args:
            nodes: (N, M, C) segment prototypes.
            position: (N, M, C).
            mask: (N, M), segments that exist.

        Returns:
            Per level; ``probabilities`` are those of the *segments*: P₁, P₂ = C P₁, ….
        """
        levels = []
        for transformer in self.levels:
            if not levels:
                found = transformer(nodes, position, mask)
            else:
                below = levels[-1].probabilities
                found = transformer(levels[-1].features, group_means(position, below, mask))
                found = found._replace(probabilities=coarser_assignment(below, found.probabilities))
            levels.append(found)
        return levels

    def hierarchy(
        self, embedding: Tensor, regions: Tensor, position: Tensor, num_views: int = 1
    ) -> tuple[Segments, list[Grouping]]:
        """Segments of images and their groups at every level, as in training.

        Args:
            embedding: (N·V, C, h, w), float, the views of an image next to each other.
            regions: (N·V, H, W), -1 where ignored.
            position: (C, h, w).
            num_views: V.

        Returns:
            The segments; the groups per level.
        """
        with full_float32(embedding.device):
            segments, pixels = self._segment_pixels(embedding, regions, num_views)
            self.segment_limit.check(segments.counts.amax())
            self.segment_limit.wait()
            nodes = segment_prototypes(pixels, segments)
            return segments, self._group_segments(nodes, segments, pixels, position, num_views)

    def _segment_pixels(self, embedding, regions, num_views):
        """Segments, and unit pixels (N, V·P, C)."""
        segments = self.segment(embedding, regions, num_views)
        pixels = F.normalize(embedding, dim=1)
        return segments, pixels.flatten(2).mT.unflatten(0, (-1, num_views)).flatten(1, 2)

    def _group_segments(self, nodes, segments, pixels, position, num_views):
        if not self.levels:
            return []
        where = position.flatten(1).mT.to(pixels).repeat(num_views, 1)
        where = segment_means(where.expand(len(pixels), -1, -1), segments)
        return self.group(nodes, where, segments.mask)

    def loss(
        self, embedding: Tensor, oversegmentation: Tensor, position: Tensor
    ) -> dict[str, Tensor]:
        """All terms.

        Args:
            embedding: (2N, C, h, w), the views of an image next to each other.
            oversegmentation: (2N, H, W), -1 where ignored.
            position: (C, h, w).

        Returns:
            ``loss_appearance``, per level ``loss_grouping_l``, ``loss_modularity_l``,
            ``loss_balance_l``, ``loss_centroid_l`` (weighted), and what to watch.
        """
        # All of it is small beside the backbone, and bf16 would turn groups over: one near-tie
        # more or less is another loss.
        with full_float32(embedding.device):
            return self._loss(at_least_float32(embedding), oversegmentation, position)

    def _loss(self, embedding, oversegmentation, position):
        segments, pixels = self._segment_pixels(embedding, oversegmentation, NUM_VIEWS)
        if self.max_segments is not None:  # of any rank: all of them stop
            self.segment_limit.check(all_reduce_max(segments.counts.amax()))
        prototypes = segment_prototypes(pixels, segments)
        contrast = SegmentContrast(
            pixels, prototypes, segments, self.concentration, self.sync_statistics
        )

        region = segments.region + REGION_IDS * contrast.image[:, None]
        results = dict(
            loss_appearance=contrast(region),
            appearance_accuracy=contrast.top_accuracy(region),
            num_segments=segments.counts.float().mean(),
        )
        if not self.levels:
            return results

        graph = neighbour_graph(
            prototypes,
            segments.mask,
            self.num_neighbours,
            segments.view if self.neighbour_graph == 'view' else None,
        )
        exists = segments.mask.any(1)
        share = exists.to(pixels) / divisor(exists.sum(), self.sync_statistics)
        groupings = self._group_segments(prototypes, segments, pixels, position, NUM_VIEWS)
        for level, (probabilities, centroids, _) in enumerate(groupings, start=1):
            num_groups = probabilities.shape[1]
            label = probabilities.argmax(1) + num_groups * contrast.image[:, None]
            results[f'loss_grouping_{level}'] = self.grouping_weight * contrast(label)
            assignment = (probabilities * segments.mask[:, None]).mT
            for name, values in (
                ('modularity', modularity_loss(assignment, graph)),
                ('balance', balance_loss(assignment)),
            ):
                results[f'loss_{name}_{level}'] = self.goodness_weight * (values * share).sum()
            results[f'loss_centroid_{level}'] = self.centroid_weight * centroid_contrast(
                centroids, exists, self.concentration, self.sync_statistics
            )
        return results
