"""From what a network gives to a map of tokens, and to the metrics."""

from collections.abc import Callable, Sequence
from math import isqrt, sqrt

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn


def dense_tokens(network: nn.Module, images: Tensor) -> Tensor:
    """A network's last feature map (B, C, h, w) of normalised images (B, 3, H, W).

    Of a ViT of mmcroc the final-normed patch tokens; of others what :func:`as_map` makes of their
    output. Errors as there.
    """
    if hasattr(network, 'forward_tapped'):
        tokens = network.forward_tapped(images).tokens  # type: ignore[operator]
        return tokens.mT.unflatten(-1, network.grid_size(images))  # type: ignore[operator]
    return as_map(network(images), images, type(network).__name__)


def as_map(output: object, images: Tensor, name: str) -> Tensor:
    """The last (B, C, h, w) map of what a network gave, tokens laid out on their grid.

    The output is a map, tokens (B, N, C) of square patches of the images (B, 3, H, W), or a tuple
    or list that ends in either; a ValueError names the network and says what else it is.
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


def layer_maps(network: nn.Module, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Maps of some of a network's layers: blocks of a Vision Transformer, stages of a ResNet.

    Those of Vision Transformers pass the final norm, whichever the block, so that the last layer
    is what :func:`dense_tokens` gives.

    Args:
        network: A network with a method ``layer_maps(images, layers)``, or one of MMPretrain's
            Vision Transformers or ResNets; a ValueError if it has no such layer, or no layers.
        images: (B, 3, H, W), normalised.
        layers: Numbers of the layers from 0, or from the end if negative: -1 is the last.

    Returns:
        A map (B, C, h, w) for each of ``layers``.
    """
    take = getattr(network, 'layer_maps', None)
    if take is not None:
        return take(images, layers)
    name = type(network).__name__
    number = getattr(network, 'num_stages', None)
    if number is None and hasattr(network, 'ln1'):
        number = len(network.layers)  # type: ignore[arg-type]
    if number is None or not hasattr(network, 'out_indices'):
        raise ValueError(
            f'{name} hands out its last map only: layers are those of Vision Transformers and '
            'ResNets, of checkpoints, timm:NAME and hf:NAME'
        )
    before = network.out_indices

    def maps(wanted: list[int]) -> Sequence[Tensor]:
        network.out_indices = wanted  # type: ignore[assignment]
        try:
            return network(images)
        finally:
            network.out_indices = before

    found = chosen_layers(layers, number, name, maps)
    if not hasattr(network, 'ln1') or not network.final_norm:
        return found
    last = [layer % number == number - 1 for layer in layers]  # normed by the network itself
    return [
        each if is_last else network.ln1(each.movedim(1, -1)).movedim(-1, 1)  # type: ignore[operator]
        for each, is_last in zip(found, last, strict=True)
    ]


def chosen_layers(
    layers: Sequence[int],
    number: int,
    name: str,
    maps: Callable[[list[int]], Sequence[Tensor]],
) -> list[Tensor]:
    """Maps of layers in the order asked for; a ValueError if there is no such layer.

    ``maps`` takes rising numbers from 0, of the ``number`` that there are, and gives a map of each.
    """
    if wrong := [layer for layer in layers if not -number <= layer < number]:
        raise ValueError(
            f'{name} has {number} layers, 0 to {number - 1} (or -{number} to -1), no {wrong[0]}'
        )
    wanted = sorted({layer % number for layer in layers})
    found = dict(zip(wanted, maps(wanted), strict=True))
    return [found[layer % number] for layer in layers]


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
    """B data samples (new ones if None) with their ``tokens``, ``PixelData``, of (B, C, h, w)."""
    if data_samples is None:
        data_samples = [SegDataSample() for _ in tokens]
    for sample, own in zip(data_samples, tokens, strict=True):
        sample.set_data(dict(tokens=PixelData(data=own)))
    return data_samples
