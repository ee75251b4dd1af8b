"""HSG's losses: contrast over segments, fine and coarse groups, goodness of the grouping."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.hsg.contrast import centroid_contrast, segment_contrast
from mmcroc.hsg.grouping import Grouping, coarser_assignment, group_means
from mmcroc.hsg.modularity import balance_loss, modularity_loss, neighbour_graph
from mmcroc.hsg.segment_limit import DeferredLimit
from mmcroc.hsg.segments import (
    Segments,
    cluster_pixels,
    cut_along_regions,
    segment_means,
    segment_prototypes,
)
from mmcroc.numerics.distributed import all_reduce_max, mean_divisor
from mmcroc.numerics.precision import in_float32
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import MODELS

NEIGHBOUR_GRAPHS = ('view', 'image')
NUM_VIEWS = 2


@MODELS.register_module()
class HSGHead(BaseModule):
    """Hierarchical segment grouping: all losses of HSG, for any number of levels.

    The weighted terms: appearance 1, ``grouping_weight`` for the contrast over each level's
    groups, ``goodness_weight`` for modularity and, times ``balance_weight``, balance of each level,
    ``centroid_weight`` for the contrast among each level's centroids. Pixels and centroids are
    contrasted with the prototypes and centroids of all ranks. Every term is a mean over pixels
    (images, centroids): by default, as released, over each rank's own, and gradients are averaged
    over ranks; a rank whose pixels are mostly ignored then weighs as much as any other.

    Args:
        num_groups: Number of groups of each level, fine to coarse; ``[]`` leaves the appearance
            term only.
        transformer: Config of every level's :class:`ClusteringTransformer`, without ``num_groups``.
        grid: Rows and columns of the k-means' start. (1, 1): segments are the regions themselves.
        kmeans_iterations: Number of iterations of the k-means.
        max_segments: Number of places for an image's segments (both views'); an image of more
            stops the run, on a GPU by the next checkpoint at the latest. Part of the loss: empty
            places count in the balance and enter the transformers' batch norms. None: as many as
            the batch needs, which takes a host synchronisation per step.
        concentration: κ of all contrasts.
        grouping_weight: Weight of the contrast over a level's groups.
        goodness_weight: Weight of a level's modularity and balance.
        balance_weight: Weight of balance beside modularity, 1 as released. Below, parting the graph
            well is worth more beside equal sizes, which equal probabilities give for nothing.
        centroid_weight: Weight of the contrast among a level's centroids.
        num_neighbours: k of the neighbour graph.
        neighbour_graph: ``'view'``: k neighbours in each view; ``'image'``: k in both together.
        sync_statistics: Whether means are over all ranks' pixels (images, centroids), so that a
            step does not depend on how its batch is split over ranks.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        num_groups: Sequence[int] = (8, 4),
        transformer: dict | None = None,
        grid: tuple[int, int] = (4, 4),
        kmeans_iterations: int = 15,
        max_segments: int | None = None,
        concentration: float = 16.0,
        grouping_weight: float = 0.1,
        goodness_weight: float = 1.0,
        balance_weight: float = 1.0,
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
        self.grid = (grid[0], grid[1])
        self.kmeans_iterations = kmeans_iterations
        self.max_segments = max_segments
        self.concentration = concentration
        self.grouping_weight = grouping_weight
        self.goodness_weight = goodness_weight
        self.balance_weight = balance_weight
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

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Save weights that no step with too many segments has gone into unnoticed."""
        self.segment_limit.wait()
        super()._save_to_state_dict(*args, **kwargs)

    def segment(self, embedding: Tensor, regions: Tensor, num_views: int = NUM_VIEWS) -> Segments:
        """Cluster the pixels of every view and cut the clusters along regions.

        Of embeddings (N·V, C, h, w), the V views of an image next to each other, and regions
        (N·V, H, W), -1 where ignored, resized to h x w by nearest neighbour.
        """
        regions = nearest_resize(regions, *embedding.shape[-2:])
        clusters = cluster_pixels(
            embedding.detach(), regions >= 0, self.grid, self.kmeans_iterations
        )
        return cut_along_regions(clusters, regions, num_views, self.max_segments)

    def group(self, nodes: Tensor, position: Tensor, mask: Tensor) -> list[Grouping]:
        """Groups of the segments at every level, whose ``probabilities`` are P₁, P₂ = C P₁, ….

        Of segment prototypes and positions, (N, M, C) each, and segments that exist, (N, M).
        """
        levels: list[Grouping] = []
        for transformer in self.levels:
            if not levels:
                found = transformer(nodes, position, mask)
            else:
                below = levels[-1].probabilities
                found = transformer(levels[-1].features, group_means(position, below, mask))
                found = found._replace(probabilities=coarser_assignment(below, found.probabilities))
            levels.append(found)
        return levels

    def _group_pixels(
        self, embedding: Tensor, regions: Tensor, position: Tensor, num_views: int
    ) -> tuple[Tensor, Segments, Tensor, list[Grouping]]:
        """Unit pixels (N, V·P, C), their segments, these' prototypes (N, M, C), groups by level."""
        segments = self.segment(embedding, regions, num_views)
        pixels = embedding.flatten(2).mT.unflatten(0, (-1, num_views)).flatten(1, 2)
        pixels = F.normalize(pixels, dim=-1)
        prototypes = segment_prototypes(pixels, segments)
        if not self.levels:
            return pixels, segments, prototypes, []
        position = position.flatten(1).mT.to(pixels).repeat(num_views, 1)
        position = segment_means(position.expand(len(pixels), -1, -1), segments)
        return pixels, segments, prototypes, self.group(prototypes, position, segments.mask)

    @in_float32
    def hierarchy(
        self, embedding: Tensor, regions: Tensor, position: Tensor, num_views: int = 1
    ) -> tuple[Segments, list[Grouping]]:
        """Segments of N images and their groups at every level, as in training.

        Of embeddings (N·V, C, h, w), the V views of an image next to each other, regions
        (N·V, H, W), -1 where ignored, and positions (C, h, w).
        """
        _, segments, _, levels = self._group_pixels(embedding, regions, position, num_views)
        self.segment_limit.check(segments.counts.amax())
        self.segment_limit.wait()
        return segments, levels

    # All of it is small beside the backbone, and bf16 would turn groups over: one near-tie more or
    # less is another loss.
    @torch.compiler.disable
    @in_float32
    def loss(
        self, embedding: Tensor, oversegmentation: Tensor, position: Tensor, contrast: bool = True
    ) -> dict[str, Tensor]:
        """All terms of the loss.

        Args:
            embedding: (2N, C, h, w), the views of an image next to each other.
            oversegmentation: (2N, H, W), -1 where ignored.
            position: (C, h, w).
            contrast: Whether pixels are contrasted with segments. That trains the embedding alone;
                False, for one that is not trained, leaves out its terms and what watches them.

        Returns:
            ``loss_appearance``, per level ``loss_grouping_l``, ``loss_modularity_l``,
            ``loss_balance_l``, ``loss_centroid_l`` (weighted), and what to watch.
        """
        pixels, segments, prototypes, levels = self._group_pixels(
            embedding, oversegmentation, position, NUM_VIEWS
        )
        goodness = self._goodness(prototypes, segments, levels)
        # Ranks meet from here on.
        if self.max_segments is not None:  # one image of any rank stops them all
            self.segment_limit.check(all_reduce_max(segments.counts.amax()))
        results = dict(num_segments=segments.counts.float().mean())
        if contrast:
            groupings = [segments.region, *(level.probabilities.argmax(1) for level in levels)]
            contrasts, results['appearance_accuracy'] = segment_contrast(
                pixels, prototypes, segments, groupings, self.concentration, self.sync_statistics
            )
            results['loss_appearance'] = contrasts[0]
            for number, term in enumerate(contrasts[1:], start=1):
                results[f'loss_grouping_{number}'] = self.grouping_weight * term
        exists = segments.mask.any(1)
        share = exists.to(pixels) / mean_divisor(exists.sum(), self.sync_statistics)
        for number, (level, terms) in enumerate(zip(levels, goodness, strict=True), start=1):
            for name, values in terms.items():
                results[f'loss_{name}_{number}'] = self.goodness_weight * (values * share).sum()
            results[f'loss_centroid_{number}'] = self.centroid_weight * centroid_contrast(
                level.centroids, exists, self.concentration, self.sync_statistics
            )
        return results

    def _goodness(
        self, prototypes: Tensor, segments: Segments, levels: list[Grouping]
    ) -> list[dict[str, Tensor]]:
        """Modularity and weighted balance of each level, (N,) each."""
        if not levels:
            return []
        view = segments.view if self.neighbour_graph == 'view' else None
        graph = neighbour_graph(prototypes, segments.mask, self.num_neighbours, view)
        assignments = [(level.probabilities * segments.mask[:, None]).mT for level in levels]
        return [
            dict(
                modularity=modularity_loss(soft, graph),
                balance=self.balance_weight * balance_loss(soft),
            )
            for soft in assignments
        ]
