"""Label propagation through a video: every token takes the labels of tokens that look like it.

Reference: Jabri, Owens and Efros, *Space-time correspondence as a contrastive random walk*, NeurIPS
2020, as DINO (Caron et al., ICCV 2021) and DINOv3 (Siméoni et al., 2025) use it on DAVIS 2017.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmcroc.numerics.precision import at_least_float32, in_float32

#: Side of a square of target tokens that are compared at once.
TILE = 16


def first_labels(mask: np.ndarray, grid: tuple[int, int], resize: str = 'pillow') -> Tensor:
    """The labels that the first frame gives to its tokens.

    An object that no token shows keeps an empty channel if one of a higher id is shown, and has
    none otherwise.

    Args:
        mask: Ids, uint8 (H, W), 0 the background.
        grid: Rows h and columns w of tokens.
        resize: ``'pillow'``, nearest by Pillow, or ``'nearest-exact'``, torch's. Both take the
            pixel under a token's centre; they differ where the centre lies between two.

    Returns:
        One-hot labels (K, h, w), float32; K is the highest id that a token shows, plus 1.
    """
    if resize == 'pillow':
        tokens = torch.from_numpy(np.array(nearest_by_pillow(mask, grid)))
    else:
        pixels = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
        tokens = F.interpolate(pixels, grid, mode='nearest-exact')[0, 0]
    return F.one_hot(tokens.long()).permute(2, 0, 1).float()


def nearest_by_pillow(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ids, uint8 (H, W), to a height and a width by Pillow's nearest.

    Not by a formula: Pillow's source position is a running sum, which rounds in its own way.
    """
    picture = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
    return np.array(picture)


@torch.no_grad()
def propagate(
    features: Iterable[Tensor],
    first: Tensor,
    num_previous: int = 7,
    radius: int = 12,
    window: str = 'square',
    topk: int = 5,
    temperature: float = 0.1,
    tile: int = TILE,
) -> Iterator[Tensor]:
    """Carry the first frame's labels from frame to frame.

    Frames are taken in order. The first frame and the frames just before give a frame its labels,
    see :func:`transfer`; what they themselves were given is soft, and stays so.

    Args:
        features: Map of each frame, (C, h, w), of any scale.
        first: Labels of the first frame, (K, h, w).
        num_previous: Number of frames before a frame that give labels, besides the first frame.
        radius: Radius of the window, tokens; 0: no window.
        window: ``'square'`` or ``'round'``.
        topk: Number of tokens that give labels.
        temperature: Temperature of their weights.
        tile: Side of a square of tokens that are compared at once; bounds the memory, and changes
            results by no more than rounding.

    Yields:
        Soft labels (K, h, w) of the second frame, the third, ...
    """
    queue: deque[tuple[Tensor, Tensor]] = deque(maxlen=num_previous)
    anchor = None
    for frame in features:
        unit = F.normalize(at_least_float32(frame), dim=0, eps=1e-12).permute(1, 2, 0).contiguous()
        if anchor is None:
            anchor = unit, first.to(unit)
            continue
        sources, labels = map(torch.stack, zip(anchor, *queue, strict=True))
        soft = transfer(unit, sources, labels, radius, window, topk, temperature, tile)
        yield soft
        queue.append((unit, soft))


@in_float32
def transfer(
    target: Tensor,
    sources: Tensor,
    labels: Tensor,
    radius: int,
    window: str,
    topk: int,
    temperature: float,
    tile: int = TILE,
) -> Tensor:
    """Give each token of a frame the labels of the tokens that look most like it.

    Among the tokens of all source frames within a window around its place, the ``topk`` of greatest
    cosine, and those that equal the least of them, give their labels, weighted by the softmax of
    cosine / ``temperature``. Squares of ``tile`` x ``tile`` tokens are compared with what their
    windows cover, so that memory grows with the window and not with the frame.

    Args:
        target: Unit vectors of the frame's tokens, (h, w, C).
        sources: Unit vectors of F source frames, (F, h, w, C).
        labels: Their labels, (F, K, h, w).
        radius: Radius of the window, tokens; 0: no window.
        window: ``'square'`` (rows and columns at most ``radius`` away) or ``'round'`` (Euclidean).
        topk: Number of tokens that give labels; where the window has fewer, all of them do.
        temperature: Temperature of the softmax.
        tile: Side of a square of target tokens.

    Returns:
        Soft labels (K, h, w).
    """
    height, width = target.shape[:2]
    rows, columns = (torch.arange(side, device=target.device) for side in (height, width))
    reach = radius or max(height, width)
    soft = labels.new_empty(height, width, labels.shape[1])
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            y, x = slice(top, top + tile), slice(left, left + tile)
            # What the windows of the square's tokens cover together.
            near_y, near_x = (slice(max(s.start - reach, 0), s.stop + reach) for s in (y, x))
            own, around = target[y, x], sources[:, near_y, near_x]
            cosines = own.flatten(0, 1) @ around.flatten(0, 2).T
            if radius:
                places = [rows[y], columns[x], rows[near_y], columns[near_x]]
                outside = ~_inside(places, radius, window)[:, None]
                cosines.unflatten(1, (len(sources), -1)).masked_fill_(outside, -torch.inf)
            least = cosines.topk(min(topk, cosines.shape[1])).values[:, -1:]
            weights = cosines.masked_fill_(cosines < least, -torch.inf).div_(temperature).softmax(1)
            given = labels[:, :, near_y, near_x].permute(0, 2, 3, 1).flatten(0, 2)
            soft[y, x] = (weights @ given).unflatten(0, own.shape[:2])
    return soft.permute(2, 0, 1).contiguous()


def _inside(places: list[Tensor], radius: int, window: str) -> Tensor:
    """Which source tokens lie in the windows of which target tokens: bool (T, S).

    Args:
        places: Rows and columns of the targets' rectangle, then of the sources', each (n,).
        radius: Radius of the window, tokens.
        window: ``'square'`` or ``'round'``.
    """
    down = (places[0][:, None] - places[2])[:, None, :, None].abs()
    right = (places[1][:, None] - places[3])[None, :, None].abs()
    if window == 'square':
        found = (down <= radius) & (right <= radius)
    else:
        found = down**2 + right**2 <= radius**2
    return found.flatten(2).flatten(0, 1)


@torch.no_grad()
def label_map(
    soft: Tensor,
    frame_size: tuple[int, int],
    size: tuple[int, int],
    upsampling: str = 'bilinear',
    constant_to_zero: bool = False,
) -> np.ndarray:
    """Decide the object of every pixel.

    Soft labels are enlarged, every channel is stretched to 0 ... 1, and the highest wins (of equal
    ones the lowest id).

    Args:
        soft: Soft labels (K, h, w).
        frame_size: Height and width of the frame as the model saw it.
        size: Height and width of the result.
        upsampling: ``'bilinear'`` to the frame as the model saw it, ids then to their size by
            Pillow's nearest; or ``'nearest'`` straight to their size.
        constant_to_zero: Whether a channel that has one value everywhere becomes 0; else it is
            left as it is.

    Returns:
        Ids, uint8 (H, W).
    """
    if upsampling == 'bilinear':
        maps = F.interpolate(soft[None], frame_size, mode='bilinear', align_corners=False)[0]
    else:
        maps = F.interpolate(soft[None], size, mode='nearest')[0]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    constant = low == high
    stretched = (maps - low) / torch.where(constant, 1, high - low)
    if not constant_to_zero:
        stretched = torch.where(constant, maps, stretched)
    ids = stretched.argmax(0).to('cpu', torch.uint8).numpy()
    return ids if ids.shape == size else nearest_by_pillow(ids, size)
