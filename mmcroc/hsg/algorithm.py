"""HSG: hierarchical segment grouping."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor, nn

from mmcroc.features.dense_model import PREPROCESSOR, DenseModel
from mmcroc.features.dense_tokens import hand_out_tokens
from mmcroc.hsg.frozen import frozen_config, with_trained_positions
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import MODELS
from mmcroc.weights.weight_fit import require_fit


@MODELS.register_module()
class HSG(DenseModel, BaseSelfSupervisor):
    """Contrast of pixels and segments across views, and a hierarchy of groups of segments.

    Ke et al., *Unsupervised Hierarchical Semantic Segmentation with Multiview Cosegmentation and
    Clustering Transformers*, CVPR 2022.

    Weights that it starts from fit the backbone whole, or are refused
    (:func:`mmcroc.weights.weight_fit.require_fit`); neck and head may be absent.

    Args:
        backbone: Config of a backbone that gives a tuple of maps (B, C, h, w), of which the last
            is taken.
        neck: Config of :class:`mmcroc.hsg.HSGNeck`.
        head: Config of :class:`mmcroc.hsg.HSGHead`.
        data_preprocessor: Data preprocessor, or config of one, of type
            :class:`mmcroc.hsg.RegionViewDataPreprocessor` by default.
        channels_last: Whether the backbone's convolutions, and so its maps, are laid out channels
            last in memory, as the matrix units of GPUs take them.
        init_cfg: MMEngine's initialisation config.
    """

    name = 'HSG'

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | nn.Module | None = None,
        channels_last: bool = False,
        init_cfg: dict | None = None,
    ):
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mmcroc.RegionViewDataPreprocessor')
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        if not self.head.levels:
            # Only the levels look at positions; DistributedDataParallel would wait for gradients.
            self.neck.position.requires_grad_(False)
        parts = self.backbone, self.neck.projection
        #: Whether anything before the clustering transformers is trained.
        self.trains_embedding = any(
            parameter.requires_grad for part in parts if part for parameter in part.parameters()
        )
        require_fit(self, 'backbone')

    @classmethod
    def frozen(cls, checkpoint: Mapping, config: dict) -> tuple[dict, dict[str, Tensor]]:
        """Config and weights of a trained HSG (a file's content) as it is used, at stride 8."""
        return frozen_config(config, PREPROCESSOR), with_trained_positions(checkpoint)

    @torch.compiler.disable(recursive=False)
    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        oversegmentation: Tensor | None = None,
    ) -> Any:
        """Compute losses, features or predictions, as MMPretrain's self-supervisors do.

        Args:
            inputs: (2B, 3, S, S) views to train, the two of an image next to each other;
                (B, 3, H, W) images to extract features.
            data_samples: B data samples, for ``'predict'``.
            mode: ``'loss'``, ``'tensor'`` or ``'predict'``.
            oversegmentation: (2B, S, S), region ids, -1 where ignored, for the loss.

        Returns:
            Losses; a tuple of one map of features; or the data samples with the pixel embeddings
            as ``tokens``, for metrics such as ``ClusteringIoU``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples, cast(Tensor, oversegmentation))
        if mode == 'predict':
            return hand_out_tokens(self.extract_feat(inputs)[0], data_samples)
        return super().forward(inputs, data_samples, mode)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """Embed the pixels of normalised images (B, 3, H, W): one map (B, C, h, w), of any norm."""
        return (self.neck(self.backbone(inputs)),)

    @torch.compiler.disable(recursive=False)
    def loss(
        self, inputs: Tensor, data_samples: list | None, oversegmentation: Tensor
    ) -> dict[str, Tensor]:
        """Embed, segment, group, compare: losses, and what to watch, of views and regions."""
        (embedding,) = self.extract_feat(inputs)
        size = embedding.shape[-2:]
        position = self.neck.position(*size)
        if self.training:
            self.neck.position.remember(size, inputs.shape[-2:])
        return self.head.loss(embedding, oversegmentation, position, self.trains_embedding)

    def predict(
        self,
        inputs: Tensor,
        oversegmentation: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Segments and groups of images at their own resolution: :meth:`hierarchy`, resized.

        For images in files :func:`mmcroc.inference.segment_image` also takes care of size and
        normalisation. Maps are int64 (B, 1 + levels, *size), of the input's size by default.
        """
        maps = self.hierarchy(inputs, oversegmentation)
        return nearest_resize(maps, *(size or inputs.shape[-2:]))

    @torch.no_grad()
    def hierarchy(self, inputs: Tensor, oversegmentation: Tensor | None = None) -> Tensor:
        """Segments and groups of images, each a single view.

        Args:
            inputs: (B, 3, H, W), normalised.
            oversegmentation: (B, H, W), regions to cut the segments along, -1 where ignored; none
                by default.

        Returns:
            (B, 1 + levels, h, w), int64, at the embedding's size: each pixel's segment, then its
            group of each level, fine to coarse; numbered within the image, -1 where ignored.
        """
        height, width = inputs.shape[-2:]
        return self.hierarchy_of(self.extract_feat(inputs)[0], (height, width), oversegmentation)

    @torch.no_grad()
    def hierarchy_of(
        self,
        embedding: Tensor,
        image_size: tuple[int, int],
        oversegmentation: Tensor | None = None,
    ) -> Tensor:
        """Segments and groups of images whose embedding is there already.

        Args:
            embedding: (B, C, h, w), of any stride; position tables are read where its pixels lie
                among those of training, see :class:`mmcroc.hsg.LearnedPosition2d`.
            image_size: Height and width of the images, in pixels.
            oversegmentation: As for :meth:`hierarchy`, which says what is returned.
        """
        height, width = embedding.shape[-2:]
        if oversegmentation is None:
            oversegmentation = torch.zeros_like(embedding[:, 0], dtype=torch.long)
        position = self.neck.position(height, width, image_size)
        segments, levels = self.head.hierarchy(embedding, oversegmentation, position)
        place = segments.pixel_segment.clamp_min(0)
        groups = [level.probabilities.argmax(1).gather(1, place) for level in levels]
        maps = torch.stack([place, *groups], dim=1)
        maps = maps.masked_fill((segments.pixel_segment < 0)[:, None], -1)
        return maps.unflatten(-1, (height, width))
