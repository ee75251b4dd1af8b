"""Segments, groups or clusters of single images, in the manner of ``mmseg.apis``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor

from mmcroc.config_files import read_config
from mmcroc.data.each_image import for_each_image
from mmcroc.data.image_reading import read_image
from mmcroc.data.region_maps import read_oversegmentation
from mmcroc.features.dense_model import PREPROCESSOR, model_inputs
from mmcroc.features.feature_segmentor import FeatureSegmentor
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.hsg.algorithm import HSG
from mmcroc.hsg.segments import REGION_IDS
from mmcroc.numerics.kmeans import KMeansResult, kmeans
from mmcroc.numerics.resize import nearest_resize

NUM_CLUSTERS = 8
#: Most tokens that clusters shared by images are found in.
SHARED_TOKENS = 2**17


def init_model(
    config: str | os.PathLike | Config | None, checkpoint: str, device: str | None = 'cpu'
) -> BaseModel:
    """Build a model and load its weights, ready for :func:`segment_image`.

        model = init_model(None, 'work_dirs/hsg_r50_coco_stage2/iter_20000.pth', 'cuda')
        maps = segment_image(model, 'photo.jpg')
        maps['level_1']                            # (H, W): the fine group of every pixel

    Args:
        config: A config, or its file, for checkpoints that hold none. None: the one in the
            checkpoint.
        checkpoint: Any name that :func:`mmcroc.features.load_model` takes.
        device: Device of the model; None: a GPU where there is one.

    Returns:
        :class:`mmcroc.hsg.HSG` at stride 8 for its checkpoints, a
        :class:`mmcroc.features.FeatureSegmentor` for all others: it hands out dense tokens, of CrOC
        the teacher's. Both are a :class:`mmcroc.features.DenseModel`.

    Raises:
        FileNotFoundError, ValueError: No such model, or weights that do not fit it.
    """
    checkpoint = os.fspath(checkpoint)
    settings = None
    if config is not None:
        settings = (config if isinstance(config, Config) else read_config(config)).to_dict()
    model = load_backbone(checkpoint, config=settings)
    if not isinstance(model, HSG):
        model = FeatureSegmentor(model, data_preprocessor=PREPROCESSOR)
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model.requires_grad_(False).to(device)
    model.eval()
    return model


def level_names(model: BaseModel) -> list[str]:
    """Names of the maps that :func:`segment_image` gives for a model, fine to coarse."""
    if not isinstance(model, HSG):
        return ['clusters']
    return ['segments', *(f'level_{level}' for level in range(1, len(model.head.levels) + 1))]


@torch.no_grad()
def segment_image(
    model: BaseModel,
    image: str | os.PathLike | np.ndarray,
    oversegmentation: str | os.PathLike | np.ndarray | None = None,
    longer_side: int = 512,
    num_clusters: int | None = None,
    centroids: Tensor | None = None,
    smooth: bool = False,
) -> dict[str, np.ndarray]:
    """Segment an image without labels.

    HSG gives its segments and their groups of each level. Any other model, CrOC among them, gives
    one map, spherical k-means over the image's tokens: CrOC's own clustering is of a *pair* of
    views, random in its seeds, and finds other clusters for each attention head.

    Args:
        model: Model of :func:`init_model`.
        image: A file, or uint8 RGB (H, W, 3).
        oversegmentation: For HSG, regions to cut the segments along: a PNG file or integers (H, W)
            in [0, 2^17), -1 where there is nothing to segment. A model whose segments are the
            regions themselves (``head.grid=(1, 1)``, COCO's stage 1) needs them.
        longer_side: The image is resized to this for the model, pixels; both sides become
            multiples of its stride.
        num_clusters: K of the k-means, 8 by default. Not for HSG, whose levels have theirs.
        centroids: Clusters of many images instead, (K, C) of :func:`shared_centroids`: a number
            then means the same in each. Not for HSG.
        smooth: Whether clusters follow the tokens around a pixel (:func:`smooth_labels`) instead of
            the nearest one alone. The levels of HSG stay as they are.

    Returns:
        int64 maps (H, W) by the names of :func:`level_names`, resized to the image's own size by
        nearest neighbour; -1 where the over-segmentation is.

    Raises:
        mmcroc.data.image_reading.UnreadableImageError: The file.
        ValueError: Arrays that are no image or do not fit it; settings that this model does not
            take.
    """
    pixels = as_image(image)
    if isinstance(model, HSG) and centroids is not None:
        raise ValueError('centroids: the groups of HSG are those it was trained with')
    if isinstance(model, HSG) or not (smooth or centroids is not None):
        _, maps = embed_and_segment(model, pixels, oversegmentation, longer_side, num_clusters)
    else:
        check_options(model, oversegmentation, num_clusters)
        inputs = model_inputs(model, pixels, model.stride, longer_side)
        tokens = model.extract_feat(inputs)[0]
        if centroids is None:
            centroids = _kmeans(tokens.flatten(2).mT[0], num_clusters or NUM_CLUSTERS).centroids
        height, width = inputs.shape[-2:]
        maps = smooth_labels(tokens, centroids.to(tokens.device), (height, width))
    resized = nearest_resize(maps, *pixels.shape[:2]).cpu().numpy()
    return dict(zip(level_names(model), resized, strict=True))


@torch.no_grad()
def shared_centroids(
    model: BaseModel,
    images: Sequence[str | os.PathLike],
    num_clusters: int | None = None,
    longer_side: int = 512,
) -> Tensor:
    """Clusters of the tokens of many images: their centroids (K, C), unit vectors on the CPU.

    Spherical k-means over every n-th token, at most ``SHARED_TOKENS`` in all. Images that cannot be
    read are named and left out.

    Raises:
        ValueError: HSG, whose groups are its own; or no image that can be read.
    """
    if isinstance(model, HSG):
        raise ValueError('the groups of HSG are those it was trained with, the same for all images')

    def tokens_of(path: str | os.PathLike) -> Tensor:
        inputs = model_inputs(model, as_image(path), model.stride, longer_side)
        tokens = model.extract_feat(inputs)[0][0].flatten(1).mT
        return tokens[:: -(-len(tokens) * len(images) // SHARED_TOKENS)].cpu()

    found, _ = for_each_image([(path,) for path in images], tokens_of)
    if not found:
        raise ValueError('no image can be read, so there are no clusters to share')
    return _kmeans(torch.cat(list(found.values())), num_clusters or NUM_CLUSTERS).centroids


def smooth_labels(tokens: Tensor, centroids: Tensor, size: tuple[int, int]) -> Tensor:
    """The cluster of each pixel, (B, H, W) of ``size``, int64, by the tokens around it.

    The cosines of tokens (B, C, h, w) to centroids (K, C) are averaged over each token and its
    neighbours, with weights 1, 2, 1 a side, and interpolated; the greatest wins. So a single token
    among others of one kind is no cluster's island, and borders are lines and no steps.
    """
    cosines = torch.einsum('bchw,kc->bkhw', F.normalize(tokens.float(), dim=1), centroids)
    side = torch.tensor([0.25, 0.5, 0.25], device=tokens.device)
    padded = F.pad(cosines, (1, 1, 1, 1), mode='replicate').flatten(0, 1)[:, None]
    blurred = F.conv2d(padded, side.outer(side)[None, None])[:, 0].view_as(cosines)
    smooth = F.interpolate(blurred, size, mode='bilinear', align_corners=False)
    return smooth.max(1).indices  # on a CPU argmax takes 9 times as long


@torch.no_grad()
def embed_and_segment(
    model: BaseModel,
    image: np.ndarray,
    oversegmentation: str | os.PathLike | np.ndarray | None = None,
    longer_side: int = 512,
    num_clusters: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Embed and segment an image; arguments and errors as :func:`segment_image`.

    Returns:
        The embedding (C, h, w), not normalised, and the maps of all levels (levels, h, w), int64.
    """
    check_options(model, oversegmentation, num_clusters)
    inputs = model_inputs(model, image, model.stride, longer_side)
    tokens = model.extract_feat(inputs)[0]
    if isinstance(model, HSG):
        height, width = inputs.shape[-2:]
        maps = _hierarchy(model, tokens, (height, width), image, oversegmentation)
    else:
        maps = cluster_tokens(tokens, num_clusters or NUM_CLUSTERS)
    return tokens[0], maps[0]


def check_options(model: BaseModel, oversegmentation: Any, num_clusters: int | None) -> None:
    """Refuse, by a ValueError, what :func:`segment_image` cannot do with a model."""
    if not isinstance(model, HSG):
        if oversegmentation is not None:
            raise ValueError('oversegmentation: only HSG cuts its segments along regions')
        if num_clusters is not None and num_clusters < 1:
            raise ValueError(f'num_clusters must be at least 1, got {num_clusters}')
    elif num_clusters is not None:
        raise ValueError('num_clusters: the groups of HSG are those it was trained with')
    elif oversegmentation is None and model.head.grid == (1, 1):
        raise ValueError(
            'the segments of this HSG are the regions themselves (head.grid=(1, 1)): give an '
            'oversegmentation (tools/prepare_oversegmentation.py makes them)'
        )


def cluster_tokens(tokens: Tensor, num_clusters: int) -> Tensor:
    """Spherical k-means over each image's tokens (B, C, h, w): (B, 1, h, w), int64."""
    labels = _kmeans(tokens.flatten(2).mT, num_clusters).labels
    return labels.unflatten(1, tokens.shape[-2:])[:, None]


def _kmeans(points: Tensor, num_clusters: int) -> KMeansResult:
    """Spherical k-means of tokens (N, C) or (B, N, C)."""
    return kmeans(points, num_clusters, metric='cosine', num_restarts=3)


def _hierarchy(
    model: HSG,
    embedding: Tensor,
    input_size: tuple[int, int],
    image: np.ndarray,
    oversegmentation: str | os.PathLike | np.ndarray | None,
) -> Tensor:
    """Segments and groups of each level (1, 1 + levels, h, w); regions are checked."""
    if oversegmentation is None:
        return model.hierarchy_of(embedding, input_size)
    source = 'oversegmentation'
    if isinstance(oversegmentation, str | os.PathLike):
        source = f'oversegmentation {oversegmentation}'
        oversegmentation = read_oversegmentation(oversegmentation)
    regions = np.asarray(oversegmentation)
    if regions.dtype.kind not in 'iu' or regions.shape != image.shape[:2]:
        raise ValueError(
            f'{source} is {regions.dtype} {regions.shape}, but must be integers of the image, '
            f'{image.shape[:2]} (upright)'
        )
    if regions.min() < -1 or regions.max() >= REGION_IDS:
        raise ValueError(f'{source} has ids {regions.min()} to {regions.max()}: not in -1…2^17-1')
    ids = torch.from_numpy(regions.astype(np.int64))[None].to(embedding.device)
    return model.hierarchy_of(embedding, input_size, ids)


def as_image(image: str | os.PathLike | np.ndarray) -> np.ndarray:
    """Uint8 RGB (H, W, 3) of a file or an array; errors as :func:`segment_image`."""
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image))
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f'image is {image.dtype} {image.shape}, but must be uint8 RGB (H, W, 3)')
    return image
