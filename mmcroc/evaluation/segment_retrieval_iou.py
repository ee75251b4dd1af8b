"""Segment retrieval: the nearest labelled segments of training images vote."""

import time

import torch
from mmengine.logging import MMLogger
from torch.nn import functional as F

from mmcroc.evaluation.pixel_iou import PixelIoU
from mmcroc.evaluation.reporting import iou_table
from mmcroc.evaluation.training_images import TrainingImages
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
    SegmentMemoryBuilder,
    model_fingerprint,
    save_memory,
    share_memory,
)
from mmcroc.registry import METRICS


@METRICS.register_module()
class SegmentRetrievalIoU(PixelIoU):
    """Mean IoU of segments that take the majority label of their nearest training segments.

    Features are upsampled (bilinear) to the input's size, L2-normalised and clustered image by
    image, together with their location, by spherical k-means; padding is left out. A segment's
    prototype is the L2-normalised sum of its features. :meth:`fit` keeps the prototypes of the
    training images with the label of most of their pixels (a segment of which most are ignored is
    dropped); :class:`mmcroc.training.FitProbesHook` calls it with the run's model. A segment of an
    evaluated image takes the majority label of its nearest ones by cosine, ties going to the lowest
    class; its pixels inherit it, and the map is resized (nearest) to the mask.

    Images lie in the upper left corner of their padding, whose size ``mmcroc.PadImage`` sets: grid
    and locations span it. What the data preprocessor adds to reach a multiple of the stride is cut
    off again. All is done where the features are, image by image: one of 512x512 pixels and 384
    channels takes 400 MB, and k-means five times as much for a moment.

    Reference: Ke, Hwang, Guo, Wang, Yu, *Unsupervised hierarchical semantic segmentation with
    multiview cosegmentation and clustering transformers* (HSG), CVPR 2022.

    Args:
        train_dataloader (dict): Labelled training images, in a fixed order and without
            augmentation. By default ranks share them without repetition.
        train_pipeline (list | None): Takes the place of that data set's own pipeline.
        grid (tuple[int, int]): Rows and columns of the grid that k-means starts from.
        num_iterations (int): Of k-means.
        num_neighbours (int): Training segments that vote.
        stride (int): Cluster every so many pixels: features are upsampled to the input's size
            divided by this. 1 is the published protocol; 4 takes a sixteenth of memory and time.
        max_memory (int | None): The most training segments to keep, drawn at random.
        memory_file (str | None): An .npz file of the training segments: read where it exists
            (training images are not needed then), else written. One that was built with another
            model, other data or other settings is refused; ``{model}`` in its name becomes a
            fingerprint of the model's weights, so that each model has its own.
        seed (int): Of ``max_memory``'s choice.
        absent (str): As for :class:`ClusteringIoU`.
        protocol (str): As for :class:`TokenMetric`, like the rest.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(
        self,
        train_dataloader,
        train_pipeline=None,
        grid=(6, 6),
        num_iterations=15,
        num_neighbours=20,
        stride=1,
        max_memory=None,
        memory_file=None,
        seed=0,
        absent='zero',
        protocol='retrieval-hsg',
        **kwargs,
    ):
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
        self.grid, self.num_iterations = tuple(grid), num_iterations
        self.num_neighbours, self.stride = num_neighbours, stride
        self.max_memory, self.memory_file, self.seed = max_memory, memory_file, seed
        self.settings = dict(
            grid=list(grid),
            num_iterations=num_iterations,
            num_neighbours=num_neighbours,
            stride=stride,
            max_memory=max_memory,
            absent=absent,
        )
        self.memory = None
        self.num_train_images = 0
        self.memory_seconds = 0.0

    @torch.no_grad()
    def fit(self, model):
        """Fill the memory with the segments of the training images, or read it.

        Args:
            model (nn.Module): As evaluated. Every rank must call.

        Raises:
            ValueError: There are fewer labelled segments than neighbours to vote, the memory's file
                belongs to something else, or as :meth:`process`.
        """
        began = time.perf_counter()
        device = next((p.device for p in model.parameters()), torch.device('cpu'))
        logger = MMLogger.get_current_instance()
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
        if len(self.memory) < self.num_neighbours:
            raise ValueError(
                f'{self.protocol}: the memory holds {len(self.memory)} labelled segments '
                f'{origin}, fewer than the {self.num_neighbours} neighbours that vote; give more '
                'training images or lower num_neighbours'
            )
        if path and not shared and get_rank() == 0:
            size = dict(embedding_size=self.memory.prototypes.shape[1])
            size['num_images'] = self.num_train_images
            save_memory(path, self.memory, metadata | size)
            origin += f', written to {path}'
        self.memory_seconds = time.perf_counter() - began
        if get_rank() == 0:
            logger.info(
                f'{self.protocol}: memory of {len(self.memory)} segments {origin}, '
                f'{self.memory_seconds:.1f} s'
            )

    def _build(self, model, device):
        """The segments of all ranks' training images, and the images' number."""
        builder, number = SegmentMemoryBuilder(self.max_memory, self.seed), 0
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

    def add_sample(self, number, name, sample):
        """See :class:`TokenMetric`."""
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
        near = nearest_labels(prototypes, memory.prototypes, memory.labels, self.num_neighbours)
        classes = len(self.classes)
        prediction = nearest_resize(majority_vote(near, classes)[segments], *mask.shape)
        self.count(number, prediction[None], mask)

    def score(self, size):
        """See :class:`TokenMetric`."""
        self.report = self.count_report(size)
        self.report['settings'] = dict(
            self.settings,
            num_train_images=self.num_train_images,
            num_memory_segments=len(self.memory),
        )
        self.report['memory_seconds'] = self.memory_seconds
        if get_rank() == 0:
            MMLogger.get_current_instance().info(
                f'{self.protocol}: {size} images, memory of {len(self.memory)} segments of '
                f'{self.num_train_images} images\n{iou_table(self.report)}'
            )
        return self.report['metrics']

    def _segment(self, tokens, sample, mask_shape):
        """Segments of one image.

        Args:
            tokens (Tensor): (D, h, w).
            sample (dict): Its data sample: where the image lies in the model's input.
            mask_shape (tuple[int, int]): The image's size if the sample does not tell.

        Returns:
            tuple[Tensor, Tensor]: prototypes (S, D), unit vectors; the segment of each of the
            image's pixels, (H / stride, W / stride), in [0, S).
        """
        image = tuple(sample.get('img_shape', mask_shape))[:2]
        padded = tuple(sample.get('pad_shape', image))[:2]
        _, right, _, bottom = sample.get('img_padding_size', (0, 0, 0, 0))
        canvas = padded[0] - bottom, padded[1] - right
        image, padded, canvas = (
            tuple(-(-side // self.stride) for side in size) for size in (image, padded, canvas)
        )
        embedding = F.interpolate(at_least_float32(tokens)[None], size=padded, mode='bilinear')
        embedding = F.normalize(embedding[..., : canvas[0], : canvas[1]], dim=1)
        valid = torch.zeros(1, *canvas, dtype=torch.bool, device=tokens.device)
        valid[:, : image[0], : image[1]] = True
        clusters = cluster_pixels(embedding, valid, self.grid, self.num_iterations)
        # The table's width is given: otherwise ranks would ask each other, image by image.
        number = self.grid[0] * self.grid[1]
        segments = cut_along_regions(clusters, valid.long() - 1, 1, max_segments=number)
        prototypes = segment_prototypes(embedding.flatten(2).mT, segments)[0]
        pixels = segments.pixel_segment.view(canvas)[: image[0], : image[1]]
        return prototypes[: int(segments.counts[0])], pixels

    def _majority(self, segments, labels, number):
        """The label of most pixels of each segment: (number,); C where most are ignored."""
        classes = len(self.classes)
        labels = torch.where(labels == self.ignore_index, classes, labels.long())
        pairs = (segments * (classes + 1) + labels).flatten()
        counts = torch.bincount(pairs, minlength=number * (classes + 1))
        return counts.view(number, classes + 1).argmax(1)

    def _metadata(self, model):
        """What another run has to share to use this run's memory."""
        data = dict(self.train_images.config or {})
        data.pop('data_root', None)  # where the files lie does not matter
        return dict(
            model=model_fingerprint(model),
            data=repr(data),
            classes=list(self.classes),
            ignore_index=self.ignore_index,
            grid=list(self.grid),
            num_iterations=self.num_iterations,
            stride=self.stride,
            max_memory=self.max_memory,
            seed=self.seed,
        )
