"""DAVIS 2017 on disk: the sequences of a split, their frames and masks, and folders of results."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcroc.atomic_file import atomic_folder
from mmcroc.data.image_reading import load_picture, open_picture, read_image
from mmcroc.foreign_files import is_plain_name, read_text
from mmcroc.pictures.label_maps import object_colours

RESOLUTION = '480p'
#: Id of pixels that belong to nothing.
VOID = 255
#: ImageNet's mean of RGB values of 0 ... 1.
MEAN = (0.485, 0.456, 0.406)
#: Modes of Pillow in which a pixel of a mask is an id.
ID_MODES = ('P', 'L', '1', 'I', 'I;16')


@dataclass(frozen=True)
class Video:
    """A sequence of a split.

    Attributes:
        name: Name of the sequence.
        frames: Frames in their order.
        annotations: Masks of all frames, or of the first alone: then it cannot be scored.
        size: Height and width of frames and masks.
        num_objects: Number of objects: the highest id of the first mask.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: tuple[Path, ...]
    size: tuple[int, int]
    num_objects: int

    @property
    def scored(self) -> bool:
        """Whether every frame is annotated."""
        return len(self.annotations) == len(self.frames)

    def masks_in(self, folder: str | Path) -> list[Path]:
        """Files of this sequence's masks in a folder of results."""
        return [Path(folder, self.name, f'{frame.stem}.png') for frame in self.frames]


def read_split(data_root: str | Path, split: str) -> list[Video]:
    """The sequences of a split, in its order, all of them checked.

    What is wrong is said before anything is computed. Only the headers of frames and masks are
    read, and the whole of first masks.

    Args:
        data_root: Folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: Name of a list in ``ImageSets/2017``, such as ``'val'``.

    Raises:
        FileNotFoundError: No such list, sequence, frame or mask.
        ValueError: Frames or masks that do not fit each other, a first mask without objects or
            with more than a palette can hold, a sequence too short, or sequences of which only
            some are annotated.
        UnreadableImageError: A file that is no image.
    """
    lists = Path(data_root, 'ImageSets', '2017')
    path = lists / f'{split}.txt'
    if not path.is_file():
        there = ', '.join(sorted(one.stem for one in lists.glob('*.txt'))) or 'none'
        raise FileNotFoundError(f'{path}: no such split; there are: {there}')
    names = list(dict.fromkeys(read_text(path).split()))
    if not names:
        raise ValueError(f'{path} lists no sequence')
    for name in names:
        if not is_plain_name(name):  # masks are written to a folder of this name
            raise ValueError(f'{path} lists {name!r}, which is no name of a folder')
    videos = [_read_video(Path(data_root), name) for name in names]
    without = [video.name for video in videos if not video.scored]
    if 0 < len(without) < len(videos):
        raise ValueError(
            f'{path}: of {", ".join(without)} only the first frame is annotated, of others every '
            'frame: score them as two splits'
        )
    for video in videos:
        least = 3 if video.scored else 2
        if len(video.frames) < least:
            raise ValueError(
                f'{video.frames[0].parent}: a sequence of {len(video.frames)} frames; labels go '
                'from the first to others, and the first and the last frame are not scored: it '
                f'takes {least}'
            )
    return videos


def _read_video(data_root: Path, name: str) -> Video:
    """A sequence, checked."""
    folder = data_root / 'JPEGImages' / RESOLUTION / name
    frames = tuple(sorted(folder.glob('*.jpg')))
    if not frames:
        raise FileNotFoundError(f'{folder}: no such folder, or no *.jpg in it')
    _require_all(frames)
    truth = data_root / 'Annotations' / RESOLUTION / name
    masks = tuple(truth / f'{frame.stem}.png' for frame in frames)
    there = sorted(truth.glob('*.png'))
    for mask in there:
        if mask not in masks:
            raise FileNotFoundError(f'{folder / mask.stem}.jpg is missing: {mask} is its mask')
    annotations = masks[:1] if there == [masks[0]] else masks
    for mask in annotations:
        if mask not in there:
            raise FileNotFoundError(f'{mask} is missing: frame {mask.stem} has no mask')
    size = picture_size(frames[0])
    for path in (*frames[1:], *annotations):
        found = picture_size(path)
        if found != size:
            raise ValueError(f'{path} is {_words(found)}, {frames[0]} {_words(size)}')
    first = read_mask(annotations[0])
    number = int(first[first != VOID].max(initial=0))
    if not number:
        raise ValueError(
            f'{annotations[0]} shows no object: pixels must be ids from 1 on (masks of 0 and 255 '
            'are those of DAVIS 2016)'
        )
    return Video(name, frames, annotations, size, number)


def _require_all(frames: Sequence[Path]) -> None:
    """Raise if the numbers that frames are named by have a gap."""
    for before, after in pairwise(frames):
        if before.stem.isdecimal() and after.stem.isdecimal():
            following = int(before.stem) + 1
            if int(after.stem) != following:
                missing = before.with_stem(str(following).zfill(len(before.stem)))
                raise FileNotFoundError(f'{missing} is missing: {after.name} follows {before.name}')


def _words(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, of its header alone.

    Raises:
        UnreadableImageError: It is no picture.
    """
    with open_picture(path) as image:
        return image.height, image.width


def read_frame(
    path: Path, size: tuple[int, int], resize: str, std: tuple[float, float, float]
) -> Tensor:
    """A frame as the model sees it.

    Args:
        path: Image file.
        size: Height h and width w.
        resize: ``'opencv'``, bilinear without antialiasing, or ``'bicubic'``, Pillow's, with; both
            on 8-bit values.
        std: Standard deviation of RGB values of 0 ... 1.

    Returns:
        (3, h, w), float32, normalised.

    Raises:
        UnreadableImageError: It cannot be read.
    """
    image = read_image(path)
    if resize == 'opencv':
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    else:
        picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
        image = np.array(picture)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, std))
    return (pixels - mean) / deviation


def read_mask(path: Path) -> np.ndarray:
    """The ids of a mask, uint8 (H, W).

    Raises:
        ValueError: Pixels are colours and not ids, or ids above 255 or beyond the palette.
        UnreadableImageError: It is no picture, or broken.
    """
    image = load_picture(path)
    mode, palette, ids = image.mode, image.getpalette(), np.array(image)
    if mode not in ID_MODES:
        raise ValueError(f'{path} holds colours ({mode}); pixels of a mask must be ids of objects')
    most = len(palette) // 3 - 1 if mode == 'P' and palette else VOID
    highest = int(ids.max(initial=0))
    if highest > most:
        raise ValueError(
            f'{path} has ids up to {highest}, more than the {most + 1} colours of its palette'
        )
    return ids.astype(np.uint8)


def write_masks(video: Video, folder: str | Path, masks: Sequence[np.ndarray], record: str) -> None:
    """Write a sequence's masks as palette PNGs into a folder of results, all or none of them.

    Args:
        video: Sequence.
        folder: Folder of results, in which the sequence's own is replaced.
        masks: Ids of every frame, uint8 (H, W).
        record: What they were computed with, kept beside them.
    """
    with atomic_folder(Path(folder, video.name)) as target:
        for path, mask in zip(video.masks_in(folder), masks, strict=True):
            picture = Image.fromarray(mask)
            picture.putpalette(object_colours().tobytes())
            picture.save(target / path.name)
        (target / 'settings.json').write_text(record, encoding='utf-8')


def has_masks(video: Video, folder: str | Path, record: str) -> bool:
    """Whether a folder of results has all masks of a sequence, computed with the same settings."""
    path = Path(folder, video.name, 'settings.json')
    if not path.is_file() or path.read_bytes() != record.encode():
        return False
    return all(mask.is_file() for mask in video.masks_in(folder))


def read_masks(video: Video, folder: str | Path) -> list[np.ndarray]:
    """Masks of a sequence in a folder of results.

    Raises:
        FileNotFoundError: A frame has none.
        ValueError: One is of another size, or has more objects than a sequence that is scored.
        UnreadableImageError: One is broken.
    """
    masks: list[np.ndarray] = []
    for path in video.masks_in(folder):
        if not path.is_file():
            raise FileNotFoundError(f'{path} is missing: every frame needs its mask')
        mask = read_mask(path)
        if mask.shape != video.size:
            raise ValueError(f'{path} is {_words(mask.shape)}, its frame {_words(video.size)}')
        # The first is the given one, void and all.
        if video.scored and masks and mask.max() > video.num_objects:
            raise ValueError(
                f'{path} has id {mask.max()}, but the first mask of {video.name} has '
                f'{video.num_objects} objects'
            )
        masks.append(mask)
    return masks
