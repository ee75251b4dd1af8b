"""Clustering evaluation: k-means over the tokens of a whole data set, matched to its classes."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcroc.evaluation.progress import Progress
from mmcroc.evaluation.token_metric import (
    TokenMetric,
    example_of,
    iou_table,
    largest,
    log,
)
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.numerics.faiss_kmeans import faiss_kmeans
from mmcroc.numerics.kmeans import kmeans
from mmcroc.numerics.matching import (
    confusion_matrix,
    intersection_over_union,
    match_hungarian,
    match_identity,
    match_many_to_one,
    mean_iou,
    merge_clusters,
)
from mmcroc.numerics.pca import RunningMoments, fit_pca
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import METRICS

MATCHINGS = {
    'hungarian': match_hungarian,
    'precision': lambda counts: match_many_to_one(counts, 'precision'),
    'iou': lambda counts: match_many_to_one(counts, 'iou'),
    'identity': match_identity,
}
#: Images whose maps are compared with their labels at once.
IMAGES_AT_ONCE = 64


@METRICS.register_module()
class ClusteringIoU(TokenMetric):
    """Mean IoU of k-means clusters of dense tokens, for several seeds.

    Tokens of all images are standardised, projected to their principal components and clustered.
    Cluster maps are compared with the labels, both resized by nearest neighbour; clusters are
    matched to classes over the whole set. Tokens wait in main memory in half precision; only
    their projection goes to the device they came from.

    Reference: Ziegler and Asano, *Self-supervised learning of object parts for semantic
    segmentation* (Leopart), CVPR 2022; Stegmüller, Lebailly et al. (CrOC), CVPR 2023.

    Args:
        num_clusters: K, or 'classes': as many as there are.
        pca_dim: Number of principal components; all there are when that is fewer. None clusters
            the standardised tokens themselves.
        num_iterations: Most iterations of k-means.
        num_restarts: Starts of k-means; the least inertia wins.
        algorithm: 'faiss': random starts, trained on a sample of 256 K tokens, as the released
            evaluations (:mod:`mmcroc.numerics.faiss_kmeans`); 'k-means++': spread starts, trained
            on all tokens, a better clustering (:func:`mmcroc.numerics.kmeans.kmeans`).
        max_init_points: Most tokens that 'k-means++' chooses its starts among.
        seeds: Seeds that k-means is repeated with.
        map_size: Size of the compared maps, (height, width). None: that of the masks, as the
            pipeline gives them.
        matching: 'hungarian' (one to one), 'precision' or 'iou' (many clusters to a class),
            'identity' (cluster k is class k).
        absent: IoU of a class without any pixel: 'zero' (as the released evaluations) or 'nan'
            (left out, as MMSegmentation).
        storage_dtype: Type that tokens are kept in, 'float16' or 'float32'.
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        num_clusters: int | str = 'classes',
        pca_dim: int | None = 50,
        num_iterations: int = 100,
        num_restarts: int = 5,
        algorithm: str = 'faiss',
        max_init_points: int | None = None,
        seeds: Sequence[int] = (0, 1, 2, 3, 4),
        map_size: int | tuple[int, int] | None = 100,
        matching: str = 'hungarian',
        absent: str = 'zero',
        storage_dtype: str = 'float16',
        protocol: str = 'clustering-leopart',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, **kwargs)
        for name, value, known in (
            ('algorithm', algorithm, ('faiss', 'k-means++')),
            ('matching', matching, tuple(MATCHINGS)),
            ('absent', absent, ('zero', 'nan')),
            ('storage_dtype', storage_dtype, ('float16', 'float32')),
        ):
            if value not in known:
                raise ValueError(f'ClusteringIoU: {name} must be one of {known}, got {value!r}')
        if not seeds:
            raise ValueError('ClusteringIoU: seeds must name at least one seed')
        if max_init_points is not None and algorithm == 'faiss':
            raise ValueError(
                "ClusteringIoU: max_init_points is a setting of algorithm='k-means++'; 'faiss' "
                'trains on a sample anyway'
            )
        self.settings: dict[str, Any] = dict(
            num_clusters=num_clusters,
            pca_dim=pca_dim,
            num_iterations=num_iterations,
            num_restarts=num_restarts,
            algorithm=algorithm,
            max_init_points=max_init_points,
            seeds=list(seeds),
            map_size=map_size,
            matching=matching,
            absent=absent,
        )
        self.map_size = (map_size, map_size) if isinstance(map_size, int) else map_size
        self.storage_dtype = getattr(torch, storage_dtype)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.tokens: list[Tensor] = []
        self.masks: list[Tensor] = []
        self.grids: list[tuple[int, int]] = []
        self.numbers: list[int] = []

    def add(self, number: int, tokens: Tensor, mask: Tensor) -> None:
        """Keep an image's tokens (C, h, w) and its mask (H, W) at the size of comparison."""
        self.device = tokens.device
        if (greatest := largest(tokens)) > torch.finfo(self.storage_dtype).max:
            raise ValueError(
                f'{self.protocol}: features up to {greatest:.3g} do not fit into float16; set '
                'storage_dtype="float32"'
            )
        flat = tokens.flatten(1).T.to(self.storage_dtype).contiguous()
        if self.map_size is not None:
            mask = nearest_resize(mask, *self.map_size)
        small = max(len(self.classes), self.ignore_index) < 256
        self.tokens.append(flat.cpu())
        self.masks.append(mask.to('cpu', torch.uint8 if small else torch.int32))
        self.grids.append((tokens.shape[1], tokens.shape[2]))
        self.numbers.append(number)

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        began = time.perf_counter()
        num_clusters = self.settings['num_clusters']
        if num_clusters == 'classes':
            num_clusters = len(self.classes)
        while self.numbers and self.numbers[-1] >= size:
            for kept in (self.tokens, self.masks, self.grids, self.numbers):
                kept.pop()
        places, num_tokens = self._places(size)
        if num_tokens < num_clusters:
            raise ValueError(
                f'{self.protocol}: {num_clusters} clusters from {num_tokens} tokens of {size} '
                'images; lower num_clusters or evaluate on more images'
            )
        points = self._project(num_tokens)
        places = places.to(points.device)
        outcomes: list[tuple[Tensor, Tensor, Tensor]] = []
        starts = len(self.settings['seeds']) * self.settings['num_restarts']
        progress = Progress(f'{self.protocol}, k-means', starts, 'start')
        for seed in self.settings['seeds']:
            labels = self._cluster(points, places, num_clusters, seed, progress.step)
            counts = all_reduce_sum(self._compare(labels, num_clusters))
            mapping = MATCHINGS[self.settings['matching']](counts)
            if not outcomes:
                self.examples = self._examples(labels, mapping)
            counts = merge_clusters(counts, mapping)
            iou = intersection_over_union(counts, self.settings['absent'])
            accuracy = counts.diagonal().sum() / counts.sum()
            outcomes.append((iou.cpu(), mean_iou(iou).cpu(), accuracy.cpu()))
        iou, miou, accuracy = (100 * torch.stack(values) for values in zip(*outcomes, strict=True))
        return self._report(iou, miou, accuracy, size, num_tokens, time.perf_counter() - began)

    def _places(self, size: int) -> tuple[Tensor, int]:
        """Each token's place 0, 1, ... among all images' tokens, and how many these are."""
        lengths = torch.zeros(size, dtype=torch.long)
        for number, tokens in zip(self.numbers, self.tokens, strict=True):
            lengths[number] = len(tokens)
        ends = all_reduce_sum(lengths).cumsum(0)
        places = [
            torch.arange(end - len(tokens), end)
            for end, tokens in zip(ends[self.numbers].tolist(), self.tokens, strict=True)
        ]
        return torch.cat([torch.empty(0, dtype=torch.long), *places]), int(ends[-1])

    def _cluster(
        self,
        points: Tensor,
        places: Tensor,
        num_clusters: int,
        seed: int,
        on_start: Callable[[], object],
    ) -> Tensor:
        """The cluster of each of this rank's tokens, (N,)."""
        settings: dict[str, Any] = dict(
            num_iterations=self.settings['num_iterations'],
            num_restarts=self.settings['num_restarts'],
            distributed=True,
            seed=seed,
            on_start=on_start,
        )
        if self.settings['algorithm'] == 'faiss':
            return faiss_kmeans(points, num_clusters, places=places, **settings).labels
        settings.update(point_index=places, max_init_points=self.settings['max_init_points'])
        return kmeans(points, num_clusters, **settings).labels

    def _project(self, num_tokens: int) -> Tensor:
        """This rank's tokens by principal components, (N, d) float32; the tokens are let go."""
        dim, pca_dim = self.tokens[0].shape[1], self.settings['pca_dim']
        moments = RunningMoments(dim, self.device)
        for tokens in self.tokens:
            moments.update(tokens.to(self.device, torch.float32))
        moments = moments.all_reduce()
        pca = fit_pca(moments, min(pca_dim or dim, dim, num_tokens - 1))
        if pca_dim is None:
            pca.components = torch.eye(dim, dtype=torch.float64, device=self.device)
        lengths = [len(tokens) for tokens in self.tokens]
        points = torch.empty(sum(lengths), len(pca.components), device=self.device)
        self.tokens.reverse()
        for part in points.split(lengths):
            part.copy_(pca.transform(self.tokens.pop().to(self.device, torch.float32)))
        return points

    def _compare(self, labels: Tensor, num_clusters: int) -> Tensor:
        """Pixels of this rank's images by cluster and class, (K, C)."""
        counts = torch.zeros(num_clusters, len(self.classes), dtype=torch.long)
        maps = labels.split([h * w for h, w in self.grids])
        for start in range(0, len(maps), IMAGES_AT_ONCE):
            here = slice(start, start + IMAGES_AT_ONCE)
            clusters = [
                nearest_resize(flat.view(grid), *mask.shape).flatten()
                for flat, grid, mask in zip(
                    maps[here], self.grids[here], self.masks[here], strict=True
                )
            ]
            masks = torch.cat([mask.flatten() for mask in self.masks[here]]).to(labels.device)
            counts += confusion_matrix(
                torch.cat(clusters), masks, num_clusters, len(self.classes), self.ignore_index
            ).cpu()
        return counts

    def _examples(self, labels: Tensor, mapping: Tensor) -> list[dict]:
        """Labels and predictions of this rank's among the first images, for a look."""
        maps = labels.split([h * w for h, w in self.grids])
        return [
            example_of(
                self.paths[number],
                mask,
                mapping[nearest_resize(flat.view(grid), *mask.shape).cpu()],
            )
            for number, flat, grid, mask in zip(
                self.numbers, maps, self.grids, self.masks, strict=True
            )
            if number < self.NUM_EXAMPLES
        ]

    def _report(
        self,
        iou: Tensor,
        miou: Tensor,
        accuracy: Tensor,
        size: int,
        num_tokens: int,
        seconds: float,
    ) -> dict[str, float]:
        """Set :attr:`report` and log it; the metrics."""
        spread = miou.std() if len(miou) > 1 else torch.zeros(())
        metrics = dict(mIoU=float(miou.mean()), mIoU_std=float(spread), aAcc=float(accuracy.mean()))
        self.report = dict(
            protocol=self.protocol,
            settings=self.settings,
            classes=list(self.classes),
            metrics=metrics,
            mIoU_per_seed=miou.tolist(),
            iou_per_seed=iou.tolist(),
            num_images=size,
            num_tokens=num_tokens,
            seconds=seconds,
            ranks=get_world_size(),
        )
        log(
            f'{self.protocol}: {num_tokens} tokens of {size} images, {len(miou)} seeds, '
            f'{seconds:.1f} s\n{iou_table(self.report)}'
        )
        return metrics
