"""From what a network gives to a map of tokens, and to the metrics."""

from math import isqrt, sqrt

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn


def dense_tokens(network: nn.Module, images: Tensor) -> Tensor:
    """A network's last feature map.

    Args:
        network: Gives a (B, C, h, w) map, (B, N, C) tokens of square patches, or a tuple or list
            that ends in either; or is :class:`mmcroc.features.VisionTransformer`.
        images: (B, 3, H, W), normalised.

    Returns:
        (B, C, h, w); for a ViT of mmcroc the final-normed patch tokens.

    Raises:
        ValueError: The network gives something else.
    """
    if hasattr(network, 'forward_tapped'):
        tokens = network.forward_tapped(images).tokens  # type: ignore[operator]
        return tokens.mT.unflatten(-1, network.grid_size(images))  # type: ignore[operator]
    return as_map(network(images), images, type(network).__name__)


def as_map(output: object, images: Tensor, name: str) -> Tensor:
    """The last (B, C, h, w) map of what a network gave, tokens laid out on their grid.

    Args:
        output: A map, tokens (B, N, C), or a tuple or list that ends in either.
        images: (B, 3, H, W) that the network was given.
        name: Name of the network, for errors.

    Raises:
        ValueError: The output is something else; says what.
    """
    features = output[-1] if isinstance(output, tuple | list) and output else output
    if isinstance(features, Tensor) and features.dim() and len(features) == len(images):
        if features.dim() == 4:
            return features
        if features.dim() == 3 and (grid := _grid(features.shape[1], images)):
            return features.mT.unflatten(-1, grid)
    shape = getattr(features, 'shape', None)
    found = f'a {type(features).__name__}' if shape is None else f'features of {tuple(shape)}'
    raise ValueError(
        f'{name} gave {found} for images of {tuple(images.shape)}, not a (B, C, h, w) map nor '
        "(B, N, C) tokens of a grid of square patches, without [CLS]; of MMPretrain's Vision "
        'Transformers set out_type="featmap"'
    )


def _grid(number: int, images: Tensor) -> tuple[int, int] | None:
    """Rows and columns of so many square patches of images; None if there is no such grid."""
    height, width = images.shape[-2:]
    if height == width:
        side = isqrt(number)
        return (side, side) if side**2 == number else None
    patch = sqrt(height * width / number)
    grid = round(height / patch), round(width / patch)
    return grid if grid[0] * grid[1] == number and grid[0] * width == grid[1] * height else None


def hand_out_tokens(tokens: Tensor, data_samples: list | None) -> list:
    """Data samples with their ``tokens``, a ``PixelData`` of (C, h, w).

    Args:
        tokens: (B, C, h, w).
        data_samples: B samples, changed in place; None makes new ones.
    """
    if data_samples is None:
        data_samples = [SegDataSample() for _ in tokens]
    for sample, own in zip(data_samples, tokens, strict=True):
        sample.set_data(dict(tokens=PixelData(data=own)))
    return data_samples
