"""Drawn scenes with masks: something to train and evaluate on with nothing downloaded.

What can be learned from them in minutes decides the design. A class is a family of hues *and* a
texture *and* a shape (texture alone is too hard for a few hundred iterations), while a strong
colour cast and uneven light per image make raw colour nearly useless, so that clusters of pixel
values do not already solve it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mmcroc.data.sample_seed import SeededSamples
from mmcroc.registry import DATASETS

#: Spread of the log of the channels' gains, and of the turn of hues (radians), per image.
CAST, HUE_TURN = 0.3, 0.6

#: name, (red, green, blue) of the palette, hue in degrees, texture, shape
GROUNDS = (
    ('meadow', (96, 160, 64), 95, 'blades'),
    ('sand', (222, 203, 150), 45, 'grain'),
    ('water', (70, 120, 190), 215, 'ripples'),
)
OBJECTS = (
    ('ball', (220, 40, 40), 0, 'stripes', 'disc'),
    ('crate', (240, 140, 30), 120, 'checks', 'square'),
    ('tent', (250, 230, 60), 60, 'smooth', 'triangle'),
    ('star', (60, 200, 190), 180, 'dots', 'star'),
    ('ring', (130, 70, 220), 240, 'rays', 'ring'),
    ('blob', (230, 90, 190), 300, 'speckle', 'blob'),
)


def draw_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene, uint8 RGB (size, size, 3), and its mask of classes, uint8 (size, size)."""
    image, mask = _draw_grounds(rng, size)
    for _ in range(rng.integers(3, 6)):
        _draw_object(rng, image, mask)
    return _photograph(rng, image), mask


def _draw_grounds(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One ground, or two with a wavy border: float32 image in [0, 1] and mask."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    first, second = rng.permutation(len(GROUNDS))[:2]
    image = _ground(rng, x, y, first)
    mask = np.full((size, size), first, dtype=np.uint8)
    if rng.random() < 0.6:
        angle, offset, phase = rng.uniform(0, 2 * np.pi, 3).tolist()
        c, s = math.cos(angle), math.sin(angle)
        along, across = c * (x - 0.5) + s * (y - 0.5), c * (y - 0.5) - s * (x - 0.5)
        part = along + 0.06 * np.sin(9 * across + phase) > 0.2 * math.sin(offset)
        image[part] = _ground(rng, x, y, second)[part]
        mask[part] = second
    return image, mask


def _ground(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, kind: int) -> np.ndarray:
    """A whole image of one ground."""
    _, _, hue, texture = GROUNDS[kind]
    size = len(x)
    if texture == 'ripples':
        phase, period = rng.uniform(0, 6.3), rng.uniform(0.08, 0.12)
        field = np.sin(2 * np.pi * y / period + phase + 1.2 * np.sin(12 * x + phase))
    else:
        noise = rng.standard_normal((size, size), dtype=np.float32)
        blur = (0.5, 0.03 * size) if texture == 'blades' else (0.8, 0.8)
        field = cv2.GaussianBlur(noise, (0, 0), sigmaX=blur[0], sigmaY=blur[1])
        field *= 0.8 / field.std()
    return _paint(rng, field, hue, saturation=0.45, contrast=0.22)


def _draw_object(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
    """Draw one object over what is there, in place."""
    size = len(mask)
    kind = rng.integers(len(OBJECTS))
    _, _, hue, texture, shape = OBJECTS[kind]
    radius = size * rng.uniform(0.17, 0.33)
    centre = rng.uniform(0.08, 0.92, 2) * size
    contours = [np.round(c * radius + centre).astype(np.int32) for c in _outline(rng, shape)]
    inside = np.zeros((size, size), dtype=np.uint8)
    cv2.fillPoly(inside, contours, 1)  # a contour within another one is a hole

    # Paint the object's surroundings only.
    x0, y0 = np.maximum(np.floor(centre - 1.5 * radius).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(centre + 1.5 * radius).astype(int) + 1, size)
    window = slice(y0, y1), slice(x0, x1)
    inside = inside[window].astype(bool)
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    field = _texture(rng, texture, x - float(centre[0]), y - float(centre[1]), radius, size)
    image[window][inside] = _paint(rng, field, hue, saturation=0.75, contrast=0.3)[inside]
    mask[window][inside] = len(GROUNDS) + kind


def _outline(rng: np.random.Generator, shape: str) -> list[np.ndarray]:
    """Contours of a shape of radius about 1 around the origin, randomly turned: (points, 2)."""
    turn = rng.uniform(0, 2 * np.pi)
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = [np.ones(48)]
    if shape == 'square':
        angles, radii = np.arange(4) * np.pi / 2, [np.full(4, 1.15)]
    elif shape == 'triangle':
        angles, radii = np.arange(3) * np.pi * 2 / 3, [np.full(3, 1.3)]
    elif shape == 'star':
        angles, radii = np.arange(10) * np.pi / 5, [np.tile([1.35, 0.6], 5)]
    elif shape == 'ring':
        radii = [np.full(48, 1.1), np.full(48, 0.5)]
    elif shape == 'blob':
        phases = rng.uniform(0, 2 * np.pi, 2)
        radii = [1 + 0.22 * np.sin(2 * angles + phases[0]) + 0.15 * np.sin(5 * angles + phases[1])]
    unit = np.stack([np.cos(angles + turn), np.sin(angles + turn)], axis=1)
    return [unit * r[:, None] for r in radii]


def _texture(
    rng: np.random.Generator, kind: str, x: np.ndarray, y: np.ndarray, radius: float, size: int
) -> np.ndarray:
    """A field of about [-1, 1] over the pixel offsets x, y from the object's centre."""
    # Plain floats throughout: numpy's own scalars would turn float32 arrays into float64.
    turn, phase = rng.uniform(0, 2 * np.pi, 2).tolist()
    c, s = math.cos(turn), math.sin(turn)
    u, v = c * x + s * y, c * y - s * x
    wave = 2 * np.pi / (size * rng.uniform(0.065, 0.085))
    if kind == 'stripes':
        return np.sign(np.sin(wave * u + phase))
    if kind == 'checks':
        return np.sign(np.sin(wave * u * 0.8 + phase) * np.sin(wave * v * 0.8 + phase))
    if kind == 'dots':
        return np.where(np.cos(wave * u) + np.cos(wave * v) > 0.7, 1.0, -0.5).astype(np.float32)
    if kind == 'rays':
        return np.sign(np.sin(9 * np.arctan2(y, x) + phase))
    if kind == 'speckle':
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        return np.clip(cv2.GaussianBlur(noise, (0, 0), 0.012 * size) * 2.5, -1, 1)
    return 1 - 2 * np.minimum(np.hypot(x - 0.3 * radius, y) / radius, 1)  # smooth: shaded


def _paint(
    rng: np.random.Generator, field: np.ndarray, hue: float, saturation: float, contrast: float
) -> np.ndarray:
    """Colours, float32 (*field.shape, 3), of a hue (degrees), lighter where the field is high."""
    hue = hue + rng.normal(0, 6)
    saturation = saturation * rng.uniform(0.85, 1.15)
    # The HSV colour of value 1, written out: 1 - s * clip(...) for each channel.
    distance = np.abs((hue / 60 + np.array([0, 4, 2])) % 6 - 3)
    colour = 1 - saturation * np.clip(2 - distance, 0, 1)
    value = rng.uniform(0.5, 0.72) + contrast * field
    return cv2.merge([value * channel for channel in colour.tolist()])


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Colour cast, uneven light, gamma and noise; float in [0, 1] to uint8."""
    size = len(image)
    cast = np.exp(rng.normal(0, CAST, 3)) * _hue_rotation(rng.normal(0, HUE_TURN))
    image = cv2.transform(image, cast.astype(np.float32))
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = rng.uniform(-0.6, 0.6, 2).astype(np.float32)
    light = rng.uniform(0.75, 1.2) + slope[0] * ramp[:, None] + slope[1] * ramp[None]
    noise = 0.02 * rng.standard_normal((size, size), dtype=np.float32)
    image = cv2.GaussianBlur(image * cv2.merge([light] * 3), (3, 3), 0.5) + cv2.merge([noise] * 3)
    image = cv2.convertScaleAbs(np.maximum(image, 0, out=image), alpha=255)
    gamma = (np.arange(256) / 255) ** rng.uniform(0.7, 1.5)
    return cv2.LUT(image, np.round(255 * gamma).astype(np.uint8))


def _hue_rotation(angle: float) -> np.ndarray:
    """Matrix that turns RGB colours about the grey axis (Rodrigues' formula)."""
    c, s = np.cos(angle), np.sin(angle) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return c * np.eye(3) + s * cross + (1 - c) / 3


SPLITS = ('train', 'val')


@DATASETS.register_module()
class SyntheticScenes(SeededSamples, BaseDataset):
    """Textured objects on textured grounds, with semantic masks, drawn when asked for.

    Nine classes: 0-2 are grounds (meadow, sand, water), 3-8 objects (ball, crate, tent, star,
    ring, blob). Every pixel has a class. A scene depends on (seed, split, index) alone and takes
    a few ms at 96 pixels; training and validation scenes are drawn from the same distribution by
    different random streams.

    A sample arrives at the pipeline with the keys of MMSegmentation, image and mask already
    loaded: ``img`` (RGB uint8), ``gt_seg_map`` (uint8), ``seg_fields``, ``img_path`` (a name, not
    a file), ``img_shape``, ``ori_shape``, ``reduce_zero_label``, ``sample_idx``.

    Args:
        num_images: Number of scenes. Defaults to 1000.
        image_size: Side of the images, pixels. Defaults to 96.
        split: Random stream, 'train' or 'val'. Defaults to 'train'.
        seed: Seed of all scenes, >= 0. Defaults to 0.
        cache: Keep scenes once drawn, uint8: 1,600 of 96 pixels take 56 MiB, in each
            worker, which must be persistent for it to be of use. Defaults to False.
        pipeline: Transforms or their configs.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: An unknown split, or ``num_images`` or ``image_size`` too small.
    """

    METAINFO = dict(
        classes=tuple(kind[0] for kind in GROUNDS + OBJECTS),
        palette=[list(kind[1]) for kind in GROUNDS + OBJECTS],
    )

    def __init__(
        self,
        num_images: int = 1000,
        image_size: int = 96,
        split: str = 'train',
        seed: int = 0,
        cache: bool = False,
        pipeline: Sequence[dict[str, Any] | Callable[..., Any]] = (),
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'SyntheticScenes.split must be one of {SPLITS}, but is {split!r}.')
        if num_images < 1 or image_size < 16:
            raise ValueError(
                'SyntheticScenes needs num_images >= 1 and image_size >= 16, but they are '
                f'{num_images} and {image_size}.'
            )
        self.num_images = num_images
        self.image_size = image_size
        self.split = split
        self.seed = seed
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None
        super().__init__(pipeline=pipeline, serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the scenes' numbers: all there is to know before drawing."""
        return [dict(scene=number) for number in range(self.num_images)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Draw a scene and its mask."""
        info = super().get_data_info(idx)
        number = info.pop('scene')
        img, mask = self._draw(number)
        info.update(
            img=img,
            gt_seg_map=mask,
            seg_fields=['gt_seg_map'],
            img_path=f'{self.split}_{self.seed}_{number:06d}.png',
            img_shape=img.shape[:2],
            ori_shape=img.shape[:2],
            reduce_zero_label=False,
        )
        return info

    def _draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of a scene, which the caller may change."""
        if self._drawn is not None and number in self._drawn:
            image, mask = self._drawn[number]
            return image.copy(), mask.copy()
        entropy = (self.seed, SPLITS.index(self.split), number)
        rng = np.random.default_rng(np.random.SeedSequence(entropy))
        scene = draw_scene(rng, self.image_size)
        if self._drawn is not None:
            self._drawn[number] = scene[0].copy(), scene[1].copy()
        return scene
