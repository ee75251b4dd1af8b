"""Colour transforms of whole batches, on the device: those of :mod:`mmcroc.data.colour`.

What happens to a view is drawn where it is cut out, from the sample's seed and by the same
transforms, and travels beside it as a few numbers. So views are those of the CPU's transforms to
within a grey level, and resumed runs repeat them. Rounding to 8 bits after each change is part of
what is computed: OpenCV's hue has 256 steps, its blur weights of 8 bits.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcroc.data.colour import ColorJitter, GaussianBlur, RandomGrayscale, Solarize, hue_step
from mmcroc.numerics.precision import full_float32

#: Transforms that the device can do, in the order in which it does.
IN_ORDER = (ColorJitter, RandomGrayscale, GaussianBlur, Solarize)
JITTER = ('brightness', 'contrast', 'saturation', 'hue')
#: Numbers of a view: four parts of the jitter in their order (-1: none), their four factors, then
#: whether it turns grey, the radius of its blur (0: none) and the threshold of solarising.
GREY, RADIUS, THRESHOLD = 8, 9, 10
NOTHING = (-1, -1, -1, -1, 1, 1, 1, 1, 0, 0, 256)


def require_order(transforms: Sequence[Any]) -> None:
    """Refuse, by a ValueError, what the device cannot do, or not in this order."""
    places = [IN_ORDER.index(type(t)) if type(t) in IN_ORDER else -1 for t in transforms]
    if -1 in places or places != sorted(set(places)):
        raise ValueError(
            'colour_on_device: the device does '
            f'{", ".join(cls.__name__ for cls in IN_ORDER)}, in this order and each once, but '
            f'the transforms of a view are {list(transforms)}.'
        )


def draw_colours(transforms: Sequence[Any]) -> np.ndarray:
    """Draw what transforms do to one view, in NumPy's order of calls: float64 (11,)."""
    numbers = np.array(NOTHING, dtype=np.float64)
    for transform in transforms:
        if (drawn := transform.draw()) is None:
            continue
        if isinstance(transform, ColorJitter):
            for place, (name, factor) in enumerate(drawn):
                numbers[place] = JITTER.index(name)
                numbers[4 + place] = hue_step(factor) if name == 'hue' else factor
        elif isinstance(transform, RandomGrayscale):
            numbers[GREY] = 1
        elif isinstance(transform, GaussianBlur):
            numbers[RADIUS] = drawn
        else:
            numbers[THRESHOLD] = transform.threshold
    return numbers


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host without waiting for it."""
    if device.type == 'cuda' and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def apply_colours(images: Tensor, drawn: np.ndarray) -> Tensor:
    """Change the colours of views, uint8 (N, 3, H, W), as drawn (:func:`draw_colours`, (N, 11)).

    The host knows which views a change concerns: each is computed for these alone.
    """
    parts = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    steps: list[tuple[Callable[[Tensor, Tensor], Tensor], np.ndarray, np.ndarray]] = [
        (change, drawn[:, place] == part, drawn[:, 4 + place, None, None, None])
        for place in range(4)
        for part, change in enumerate(parts)
    ]
    blurred, solarised = drawn[:, RADIUS] > 0, drawn[:, THRESHOLD] < 256
    steps.append((turn_grey, drawn[:, GREY] > 0, drawn[:, GREY]))
    steps.append((blur, blurred, blur_weights(drawn[:, RADIUS])))
    steps.append((solarise, solarised, drawn[:, THRESHOLD, None, None, None]))
    images = images.clone()
    with full_float32(images.device):
        for change, concerned, settings in steps:
            if concerned.any():
                rows = to_device(torch.from_numpy(np.flatnonzero(concerned)), images.device)
                setting = torch.from_numpy(settings[concerned].astype(np.float32))
                changed = change(images[rows].float(), to_device(setting, images.device))
                images[rows] = changed.byte()
    return images


def _blend(images: Tensor, reference: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance to a reference, cut decimals off, stay within 8 bits."""
    # The thousandth makes up for float32: an integer may come out as a little less.
    return torch.lerp(reference, images, factor).add_(0.001).floor_().clamp_(0, 255)


def _grey(images: Tensor) -> Tensor:
    """Grey of 8 bits (N, 1, H, W), by OpenCV's weights of 15 bits (exact in float32)."""
    red, green, blue = images.split(1, dim=1)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) / 32768).floor()


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images (N, 3, H, W), 0 to 255, by factors (N, 1, 1, 1)."""
    return _blend(images, torch.zeros_like(factor), factor)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance of images (N, 3, H, W) to their mean grey by factors (N, 1, 1, 1)."""
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, (mean + 0.5).floor(), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the distance of pixels (N, 3, H, W) to their grey by factors (N, 1, 1, 1)."""
    red, green, blue = images.split(1, dim=1)
    return _blend(images, 0.299 * red + 0.587 * green + 0.114 * blue, factor)  # colour.LUMA


def adjust_hue(images: Tensor, step: Tensor) -> Tensor:
    """Add steps (N, 1, 1, 1) to the hues, of 8 bits, of images (N, 3, H, W).

    To HSV as OpenCV does, in fixed point with tables of 12 bits (exact in float32), and back.
    """
    red, green, blue = images.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    sector = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = _fixed_point(sector, (256 << 12) / 6, spread)
    saturation = _fixed_point(spread, 255 << 12, value) / 255
    hue = hue + step
    hue -= 256 * (hue / 256).floor_()
    hue *= 6 / 255  # OpenCV's circle has 256 steps on the way there, 255 on the way back
    # A channel is v (1 - s · k), k = clamp(min(n, 4 - n), 0, 1), n = (place + hue) mod 6.
    channels = []
    for place in (5, 3, 1):
        turned = hue + place
        turned -= 6 * (turned >= 6)
        share = torch.minimum(turned, 4 - turned).clamp_(0, 1)
        channels.append(value - value * saturation * share)
    return torch.cat(channels, dim=1).round_()


def _fixed_point(number: Tensor, scale: float, divisor: Tensor) -> Tensor:
    """scale / 4096 · number / divisor, rounded, where scale / divisor was rounded before."""
    ratio = torch.where(divisor > 0, scale / divisor.clamp(min=1), 0).round()
    return ((number * ratio + 2048) / 4096).floor()


def turn_grey(images: Tensor, _: Tensor) -> Tensor:
    """Replace colours of images (N, 3, H, W) by their grey."""
    return _grey(images).expand_as(images)


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at least a threshold (N, 1, 1, 1) in images (N, 3, H, W)."""
    return torch.where(images >= threshold, 255 - images, images)


def blur_weights(radii: np.ndarray) -> np.ndarray:
    """Weights of OpenCV's Gaussian filters for standard deviations (N,): integers, sum 256 (N, K).

    A filter reaches three standard deviations far; K fits the widest. Rounding errors are carried
    from the outside to the centre.
    """
    radii = radii[:, None]
    reach = np.rint(6 * radii + 1) // 2
    widest = int(reach.max())
    outside = np.arange(-widest, 1)
    half = np.exp(-0.5 * (outside / np.maximum(radii, 1e-3)) ** 2) * (-outside <= reach)
    half *= 256 / (2 * half.sum(1) - half[:, -1])[:, None]
    half[:, :-1] = np.diff(np.rint(half[:, :-1].cumsum(1)), axis=1, prepend=0)
    half[:, -1] = 256 - 2 * half[:, :-1].sum(1)
    return np.concatenate([half, half[:, -2::-1]], axis=1)


def blur(images: Tensor, weights: Tensor) -> Tensor:
    """Blur images (N, 3, H, W) along both axes by weights (N, K), K odd; borders are repeated."""
    images = images.transpose(0, 1)  # an image is a channel, with a filter of its own
    reach = weights.shape[1] // 2
    for kernels, padding in (
        (weights[:, None, None, :], (reach, reach, 0, 0)),
        (weights[:, None, :, None], (0, 0, reach, reach)),
    ):
        padded = F.pad(images, padding, mode='replicate')
        images = F.conv2d(padded, kernels, groups=len(weights))
    return images.transpose(0, 1).div(65536).add_(0.5).floor_()
