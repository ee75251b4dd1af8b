"""Dense features of single images: patch tokens of any frozen model, at any layer."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from mmcroc.atomic_file import atomic_file
from mmcroc.features.dense_model import PREPROCESSOR, whole_token_pixels
from mmcroc.features.pretrained_backbone import FrozenModel, load_model
from mmcroc.inference.segmentation import as_image
from mmcroc.optional import require

#: What features may be kept in.
DTYPES = ('float16', 'float32')
#: Kinds of files.
FORMATS = ('npz', 'safetensors')


@overload
def dense_features(
    model: str | os.PathLike | nn.Module,
    image: str | os.PathLike | np.ndarray,
    *,
    longer_side: int = ...,
    layers: None = ...,
) -> Tensor: ...
@overload
def dense_features(
    model: str | os.PathLike | nn.Module,
    image: str | os.PathLike | np.ndarray,
    *,
    longer_side: int = ...,
    layers: Sequence[int],
) -> list[Tensor]: ...
@torch.no_grad()
def dense_features(
    model: str | os.PathLike | nn.Module,
    image: str | os.PathLike | np.ndarray,
    *,
    longer_side: int = 512,
    layers: Sequence[int] | None = None,
) -> Tensor | list[Tensor]:
    """Extract the patch features of an image.

        features = mmcroc.dense_features('hf:facebook/dinov2-small', 'photo.jpg')    # (384, h, w)

    Of Vision Transformers these are the final-normed patch tokens, [CLS] and registers dropped. For
    many images load the model once: ``model = mmcroc.features.load_model(name, 'cuda')``.

    Args:
        model: A model of :func:`mmcroc.features.load_model`, or anything that it takes.
        image: A file, or uint8 RGB (H, W, 3).
        longer_side: The image is resized to this (bilinear, antialiased), about, pixels; both sides
            become multiples of the model's stride. ImageNet's mean and deviation normalise it.
        layers: Blocks of a Vision Transformer or stages of a ResNet, from 0, or from the end if
            negative; those of a ViT pass the final norm. None: the last alone.

    Returns:
        The map (C, h, w), on the model's device; with ``layers`` a list, a map for each.

    Raises:
        mmcroc.data.image_reading.UnreadableImageError: The file.
        ValueError: The array is no image, the model no dense model, or it has no such layer.
    """
    frozen = model if isinstance(model, FrozenModel) else load_model(model)
    pixels = whole_token_pixels(as_image(image), frozen.stride, longer_side)
    mean, std = (torch.tensor(PREPROCESSOR[name]).view(3, 1, 1) for name in ('mean', 'std'))
    device = next((parameter.device for parameter in frozen.parameters()), pixels.device)
    inputs = ((pixels - mean) / std).to(device)
    if layers is None:
        return frozen.features(inputs)[0]
    return [each[0] for each in frozen.layer_features(inputs, layers)]


def write_features(
    path: str | os.PathLike,
    features: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    dtype: str = 'float16',
) -> None:
    """Write maps of features to a file, which appears under its name only once it is whole.

    Args:
        path: File to write, a NumPy archive (.npz, not compressed) or ``.safetensors``.
        features: Maps (C, h, w) by name.
        metadata: Facts about them, ready for JSON: an array ``metadata`` of the archive, a string;
            the entry ``metadata`` of a safetensors file's.
        dtype: ``'float16'`` or ``'float32'``.

    Raises:
        ValueError: Features that are not finite, or too large for float16.
        ImportError: safetensors is not installed.
    """
    arrays = {}
    for name, each in features.items():
        largest = float(each.abs().max())
        if not largest <= torch.finfo(getattr(torch, dtype)).max:  # NaN neither
            raise ValueError(f'features up to {largest:.3g} do not fit into {dtype}')
        arrays[name] = each.to('cpu', getattr(torch, dtype)).contiguous().numpy()
    text = json.dumps(dict(metadata))
    with atomic_file(path) as file:
        if os.fspath(path).endswith('.safetensors'):
            library = require('safetensors.numpy', 'a .safetensors file', 'safetensors')
            file.write(library.save(arrays, dict(metadata=text)))
        else:
            np.savez(file, metadata=np.array(text), **arrays)  # type: ignore[arg-type]
