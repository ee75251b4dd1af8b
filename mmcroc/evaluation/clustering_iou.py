"""Clustering evaluation: k-means over the tokens of a whole data set, matched to its classes."""

import time

import torch
from mmengine.logging import MMLogger

from mmcroc.evaluation.reporting import iou_table
from mmcroc.evaluation.token_metric import TokenMetric
from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
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
        num_clusters (int | str): K, or 'classes': as many as there are.
        pca_dim (int | None): Principal components; all there are when that is fewer. None clusters
            the standardised tokens themselves.
        num_iterations (int): The most iterations of k-means.
        num_restarts (int): Starts of k-means; the least inertia wins.
        algorithm (str): 'faiss': random starts, trained on a sample of 256 K tokens, as the
            released evaluations (:mod:`mmcroc.numerics.faiss_kmeans`); 'k-means++': spread
            starts, trained on all tokens, a better clustering
            (:func:`mmcroc.numerics.kmeans.kmeans`).
        max_init_points (int | None): The most tokens that 'k-means++' chooses its starts among.
        seeds (Sequence[int]): k-means is repeated with each of them.
        map_size (int | tuple[int, int] | None): Size of the compared maps, (height, width). None:
            that of the masks, as the pipeline gives them.
        matching (str): 'hungarian' (one to one), 'precision' or 'iou' (many clusters to a class),
            'identity' (cluster k is class k).
        absent (str): IoU of a class without any pixel: 'zero' (as the released evaluations) or
            'nan' (left out, as MMSegmentation).
        storage_dtype (str): What tokens are kept in: 'float16' or 'float32'.
        protocol (str): As for :class:`TokenMetric`, like the rest.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(
        self,
        num_clusters='classes',
        pca_dim=50,
        num_iterations=100,
        num_restarts=5,
        algorithm='faiss',
        max_init_points=None,
        seeds=(0, 1, 2, 3, 4),
        map_size=100,
        matching='hungarian',
        absent='zero',
        storage_dtype='float16',
        protocol='clustering-leopart',
        **kwargs,
    ):
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
        self.settings = dict(
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
        self.num_clusters = num_clusters
        self.pca_dim = pca_dim
        self.kmeans_settings = dict(num_iterations=num_iterations, num_restarts=num_restarts)
        self.algorithm = algorithm
        self.max_init_points = max_init_points
        self.seeds = list(seeds)
        self.map_size = (map_size, map_size) if isinstance(map_size, int) else map_size
        self.matching = MATCHINGS[matching]
        self.absent = absent
        self.storage_dtype = getattr(torch, storage_dtype)
        self.reset()

    def reset(self):
        """See :class:`TokenMetric`."""
        self.tokens, self.masks, self.grids, self.numbers = [], [], [], []

    def add(self, number, tokens, mask):
        """See :class:`TokenMetric`."""
        self.device = tokens.device
        flat = tokens.flatten(1).T.to(self.storage_dtype).contiguous()
        if not bool(flat.isfinite().all()):
            raise ValueError(
                f'{self.protocol}: features up to {float(tokens.abs().max()):.3g} do not fit '
                'into float16; set storage_dtype="float32"'
            )
        if self.map_size is not None:
            mask = nearest_resize(mask, *self.map_size)
        small = max(len(self.classes), self.ignore_index) < 256
        self.tokens.append(flat.cpu())
        self.masks.append(mask.to('cpu', torch.uint8 if small else torch.int32))
        self.grids.append(tuple(tokens.shape[-2:]))
        self.numbers.append(number)

    def score(self, size):
        """See :class:`TokenMetric`."""
        began = time.perf_counter()
        num_clusters = len(self.classes) if self.num_clusters == 'classes' else self.num_clusters
        dim = self.tokens[0].shape[1]
        while self.numbers and self.numbers[-1] >= size:
            for kept in (self.tokens, self.masks, self.grids, self.numbers):
                kept.pop()
        places, num_tokens = self._places(size)
        if num_tokens < num_clusters:
            raise ValueError(
                f'{self.protocol}: {num_clusters} clusters from {num_tokens} tokens of {size} '
                'images; lower num_clusters or evaluate on more images'
            )
        points = self._project(dim, num_tokens)
        places = places.to(points.device)
        outcomes = []
        for seed in self.seeds:
            labels = self._cluster(points, places, num_clusters, seed)
            counts = all_reduce_sum(self._compare(labels, num_clusters))
            mapping = self.matching(counts)
            if not outcomes:
                self.examples = self._examples(labels, mapping)
            counts = merge_clusters(counts, mapping)
            iou = intersection_over_union(counts, self.absent)
            accuracy = counts.diagonal().sum() / counts.sum()
            outcomes.append((iou.cpu(), mean_iou(iou).cpu(), accuracy.cpu()))
        iou, miou, accuracy = (100 * torch.stack(values) for values in zip(*outcomes, strict=True))
        return self._report(iou, miou, accuracy, size, num_tokens, time.perf_counter() - began)

    def _places(self, size):
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

    def _cluster(self, points, places, num_clusters, seed):
        """The cluster of each of this rank's tokens, (N,)."""
        settings = dict(self.kmeans_settings, distributed=True, seed=seed)
        if self.algorithm == 'faiss':
            return faiss_kmeans(points, num_clusters, places=places, **settings).labels
        settings.update(point_index=places, max_init_points=self.max_init_points)
        return kmeans(points, num_clusters, **settings).labels

    def _project(self, dim, num_tokens):
        """This rank's tokens by principal components, (N, d) float32; the tokens are let go."""
        moments = RunningMoments(dim, self.device)
        for tokens in self.tokens:
            moments.update(tokens.to(self.device, torch.float32))
        moments = moments.all_reduce()
        number = min(self.pca_dim or dim, dim, num_tokens - 1)
        pca = fit_pca(moments, number)
        if self.pca_dim is None:
            pca.components = torch.eye(dim, dtype=torch.float64, device=self.device)
        lengths = [len(tokens) for tokens in self.tokens]
        points = torch.empty(sum(lengths), len(pca.components), device=self.device)
        self.tokens.reverse()
        for part in points.split(lengths):
            part.copy_(pca.transform(self.tokens.pop().to(self.device, torch.float32)))
        return points

    def _compare(self, labels, num_clusters):
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

    def _examples(self, labels, mapping):
        """Predictions of the first images, for a look."""
        examples = []
        maps = labels.split([h * w for h, w in self.grids])
        for number, flat, grid, mask in zip(
            self.numbers, maps, self.grids, self.masks, strict=True
        ):
            if number >= self.NUM_EXAMPLES:
                break
            clusters = nearest_resize(flat.view(grid), *mask.shape).cpu()
            prediction = mapping[clusters].to(torch.uint8).numpy()
            label = mask.clamp(max=255).to(torch.uint8).numpy()
            examples.append(dict(img_path=self.paths[number], label=label, prediction=prediction))
        return examples

    def _report(self, iou, miou, accuracy, size, num_tokens, seconds):
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
        if get_rank() == 0:
            logger = MMLogger.get_current_instance()
            logger.info(
                f'{self.protocol}: {num_tokens} tokens of {size} images, '
                f'{len(self.seeds)} seeds, {seconds:.1f} s\n{iou_table(self.report)}'
            )
        return metrics
