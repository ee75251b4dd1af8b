"""Segment retrieval: the nearest labelled segments of training images vote."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcroc.evaluation.token_metric import PixelIoU, iou_table, log
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.features.feature_segmentor import FeatureSegmentor
from mmcroc.hsg.segments import (
    cluster_pixels,
    cut_along_regions,
    segment_prototypes,
)
from mmcroc.numerics.distributed import all_reduce_sum, get_rank
from mmcroc.numerics.neighbours import majority_vote, nearest_labels
from mmcroc.numerics.precision import at_least_float32
from mmcroc.numerics.resize import nearest_resize
from mmcroc.numerics.segment_memory import (
    SegmentMemory,
    SegmentMemoryBuilder,
    model_fingerprint,
    save_memory,
    share_memory,
)
from mmcroc.registry import METRICS, MODELS

#: Settings that a memory of training segments depends on.
MEMORY_SETTINGS = ('grid', 'num_iterations', 'stride', 'max_memory')


@MODELS.register_module()
class PaddedFeatureSegmentor(FeatureSegmentor):
    """:class:`FeatureSegmentor` for images of any size: they are padded to whole patches.

    Args:
        *args: Arguments of :class:`FeatureSegmentor`; the data preprocessor is MMSegmentation's.
        **kwargs: Further ones.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data_preprocessor.test_cfg = dict(size_divisor=self.backbone.stride)


@METRICS.register_module()
class SegmentRetrievalIoU(PixelIoU):
    """Mean IoU of segments that take the majority label of their nearest training segments.

    Features are upsampled (bilinear) to the input's size, L2-normalised and clustered image by
    image, together with their location, by spherical k-means; padding is left out. A segment's
    prototype is the L2-normalised sum of its features. :meth:`fit` keeps the prototypes of the
    training images with the label of most of their pixels (a segment of which most are ignored is
    dropped); ``mmcroc.FitProbesHook`` calls it with the run's model. A segment of an evaluated
    image takes the majority label of its nearest ones by cosine, ties going to the lowest class;
    its pixels inherit it, and the map is resized (nearest) to the mask.

    Images lie in the upper left corner of their padding, whose size ``mmcroc.PadImage`` sets: grid
    and locations span it. What the data preprocessor adds to reach a multiple of the stride is cut
    off again. All is done where the features are, image by image: one of 512x512 pixels and 384
    channels takes 400 MB, and k-means five times as much for a moment.

    Reference: Ke, Hwang, Guo, Wang, Yu, *Unsupervised hierarchical semantic segmentation with
    multiview cosegmentation and clustering transformers* (HSG), CVPR 2022.

    Args:
        train_dataloader: Labelled training images, in a fixed order and without augmentation. By
            default ranks share them without repetition.
        train_pipeline: Transforms in place of that data set's.
        grid: Rows and columns of the grid that k-means starts from.
        num_iterations: Iterations of k-means.
        num_neighbours: Number of training segments that vote.
        stride: Cluster every so many pixels: features are upsampled to the input's size divided by
            this. 1 is the published protocol; 4 takes a sixteenth of memory and time.
        max_memory: Most training segments to keep, a random choice.
        memory_file: An .npz file of the training segments: read where it exists (training images
            are not needed then), else written. One that was built with another model, other data or
            other settings is refused; ``{model}`` in its name becomes a fingerprint of the model's
            weights, so that each model has a file of its own.
        seed: Seed of ``max_memory``'s choice.
        absent: IoU of a class without any pixel, 'zero' or 'nan' (left out of the mean).
        protocol: Name of the protocol, the prefix of every number.
        **kwargs: Further arguments of :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader: dict,
        train_pipeline: list[dict] | None = None,
        grid: Sequence[int] = (6, 6),
        num_iterations: int = 15,
        num_neighbours: int = 20,
        stride: int = 1,
        max_memory: int | None = None,
        memory_file: str | None = None,
        seed: int = 0,
        absent: str = 'zero',
        protocol: str = 'retrieval-hsg',
        **kwargs: Any,
    ) -> None:
        super().__init__(protocol, absent, **kwargs)
        numbers = dict(num_iterations=num_iterations, num_neighbours=num_neighbours, stride=stride)
        numbers |= dict(rows=grid[0], columns=grid[1], max_memory=max_memory or num_neighbours)
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f'SegmentRetrievalIoU: {name} must be at least 1, got {value}')
        if max_memory is not None and max_memory < num_neighbours:
            raise ValueError(
                f'SegmentRetrievalIoU: max_memory={max_memory} is less than the '
                f'num_neighbours={num_neighbours} that vote'
            )
        self.train_images = TrainingImages(train_dataloader, train_pipeline)
        self.settings: dict[str, Any] = dict(
            grid=list(grid),
            num_iterations=num_iterations,
            num_neighbours=num_neighbours,
            stride=stride,
            max_memory=max_memory,
            absent=absent,
        )
        self.memory_file, self.seed = memory_file, seed
        self.memory: SegmentMemory | None = None
        self.num_train_images = 0
        self.memory_seconds = 0.0

    @torch.no_grad()
    def fit(self, model: nn.Module) -> None:
        """Fill the memory with the training images' segments, or read it. Every rank must call.

        Raises:
            ValueError: There are fewer labelled segments than neighbours to vote, the memory's file
                belongs to something else, or as :meth:`process`.
        """
        began = time.perf_counter()
        device = next((p.device for p in model.parameters()), torch.device('cpu'))
        path, shared = self.memory_file, None
        if path:
            metadata = self._metadata(model)
            path = str(path).replace('{model}', metadata['model'])
            shared = share_memory(path, metadata, device)
        if shared:
            self.memory, self.num_train_images = shared
            origin = f'read from {path}'
        else:
            self.memory, self.num_train_images = self._build(model, device)
            origin = f'of {self.num_train_images} images'
        neighbours = self.settings['num_neighbours']
        if len(self.memory) < neighbours:
            raise ValueError(
                f'{self.protocol}: the memory holds {len(self.memory)} labelled segments '
                f'{origin}, fewer than the {neighbours} neighbours that vote; give more '
                'training images or lower num_neighbours'
            )
        if path and not shared and get_rank() == 0:
            size = dict(embedding_size=self.memory.prototypes.shape[1])
            size['num_images'] = self.num_train_images
            save_memory(path, self.memory, metadata | size)
            origin += f', written to {path}'
        self.memory_seconds = time.perf_counter() - began
        log(
            f'{self.protocol}: memory of {len(self.memory)} segments {origin}, '
            f'{self.memory_seconds:.1f} s'
        )

    def _build(self, model: nn.Module, device: torch.device) -> tuple[SegmentMemory, int]:
        """The segments of all ranks' training images, and the images' number."""
        builder, number = SegmentMemoryBuilder(self.settings['max_memory'], self.seed), 0
        purpose = f'{self.protocol}, memory'
        for place, name, sample in self.train_images.through(model, purpose):
            mask = self._mask(sample, name)
            prototypes, segments = self._segment(self._tokens(sample, name), sample, mask.shape)
            labels = nearest_resize(mask.to(segments.device), *segments.shape)
            labels = self._majority(segments, labels, len(prototypes))
            labelled = labels < len(self.classes)
            builder.add(place, prototypes[labelled], labels[labelled])
            number += 1
        return builder.gather(device), int(all_reduce_sum(torch.tensor(number)))

    def add_sample(self, number: int, name: str, sample: dict) -> None:
        """Classify the segments of a data sample and count their pixels."""
        if self.memory is None:
            raise RuntimeError(
                f'{self.protocol}: there is no memory of training segments; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        tokens, mask = self._tokens(sample, name), self._mask(sample, name)
        stored = self.memory.prototypes.shape[1]
        if len(tokens) != stored:
            raise ValueError(
                f'{self.protocol}: embeddings of {name} are of size {len(tokens)}, those of the '
                f'memory of size {stored}: they are of different models'
            )
        prototypes, segments = self._segment(tokens, sample, mask.shape)
        memory = self.memory = self.memory.to(tokens.device)
        neighbours = self.settings['num_neighbours']
        near = nearest_labels(prototypes, memory.prototypes, memory.labels, neighbours)
        classes = len(self.classes)
        prediction = nearest_resize(majority_vote(near, classes)[segments], *mask.shape)
        self.count(number, prediction[None], mask)

    def score(self, size: int) -> dict[str, float]:
        """Metrics of the first ``size`` images over all ranks, alike on all ranks."""
        num_segments = len(self.memory) if self.memory else 0
        self.report = self.count_report(size)
        self.report['settings'] = dict(
            self.settings,
            num_train_images=self.num_train_images,
            num_memory_segments=num_segments,
        )
        self.report['memory_seconds'] = self.memory_seconds
        log(
            f'{self.protocol}: {size} images, memory of {num_segments} segments of '
            f'{self.num_train_images} images\n{iou_table(self.report)}'
        )
        return self.report['metrics']

    def _segment(
        self, tokens: Tensor, sample: dict, mask_shape: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Segments of one image.

        Args:
            tokens: (D, h, w).
            sample: Data sample, which tells where the image lies in the model's input.
            mask_shape: Size of the image if the sample does not tell.

        Returns:
            Prototypes (S, D), unit vectors; the segment of each of the image's pixels,
            (H / stride, W / stride), in [0, S).
        """
        grid, stride = self.settings['grid'], self.settings['stride']
        image = tuple(sample.get('img_shape', mask_shape))[:2]
        padded = tuple(sample.get('pad_shape', image))[:2]
        _, right, _, bottom = sample.get('img_padding_size', (0, 0, 0, 0))
        canvas = padded[0] - bottom, padded[1] - right
        image, padded, canvas = (
            tuple(-(-side // stride) for side in size) for size in (image, padded, canvas)
        )
        embedding = F.interpolate(at_least_float32(tokens)[None], size=padded, mode='bilinear')
        embedding = F.normalize(embedding[..., : canvas[0], : canvas[1]], dim=1)
        valid = torch.zeros(1, *canvas, dtype=torch.bool, device=tokens.device)
        valid[:, : image[0], : image[1]] = True
        clusters = cluster_pixels(embedding, valid, grid, self.settings['num_iterations'])
        # The table's width is given: otherwise ranks would ask each other, image by image.
        segments = cut_along_regions(clusters, valid.long() - 1, 1, max_segments=grid[0] * grid[1])
        prototypes = segment_prototypes(embedding.flatten(2).mT, segments)[0]
        pixels = segments.pixel_segment.view(canvas)[: image[0], : image[1]]
        return prototypes[: int(segments.counts[0])], pixels

    def _majority(self, segments: Tensor, labels: Tensor, number: int) -> Tensor:
        """The label of most pixels of each segment: (number,); C where most are ignored."""
        classes = len(self.classes)
        labels = torch.where(labels == self.ignore_index, classes, labels.long())
        pairs = (segments * (classes + 1) + labels).flatten()
        counts = torch.bincount(pairs, minlength=number * (classes + 1))
        return counts.view(number, classes + 1).argmax(1)

    def _metadata(self, model: nn.Module) -> dict[str, Any]:
        """Settings that another run has to share to use this run's memory."""
        data = dict(self.train_images.config or {})
        data.pop('data_root', None)  # where the files lie does not matter
        return dict(
            model=model_fingerprint(model),
            data=repr(data),
            classes=list(self.classes),
            ignore_index=self.ignore_index,
            seed=self.seed,
            **{name: self.settings[name] for name in MEMORY_SETTINGS},
        )
