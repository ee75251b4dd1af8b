"""Draw little scenes with masks: numpy and OpenCV only, a random generator in, arrays out.

What can be learned from them in minutes decides the design. A class is a family of hues *and* a
texture *and* a shape (texture alone is too hard for a few hundred iterations), while a strong
colour cast and uneven light per image make raw colour nearly useless, so that clusters of pixel
values do not already solve it.
"""

import math

import cv2
import numpy as np

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


def draw_scene(rng, size):
    """Draw one scene.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        size (int): Side of the image, pixels.

    Returns:
        tuple[numpy.ndarray, numpy.ndarray]: Image, uint8 RGB (size, size, 3), and mask, uint8
        (size, size): 0 ... 2 the grounds, 3 ... 8 the objects.
    """
    image, mask = _draw_grounds(rng, size)
    for _ in range(rng.integers(3, 6)):
        _draw_object(rng, image, mask)
    return _photograph(rng, image), mask


def _draw_grounds(rng, size):
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


def _ground(rng, x, y, kind):
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


def _draw_object(rng, image, mask):
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


def _outline(rng, shape):
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


def _texture(rng, kind, x, y, radius, size):
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


def _paint(rng, field, hue, saturation, contrast):
    """Colours, float32 (*field.shape, 3), of a hue (degrees), lighter where the field is high."""
    hue = hue + rng.normal(0, 6)
    saturation = saturation * rng.uniform(0.85, 1.15)
    # The HSV colour of value 1, written out: 1 - s * clip(...) for each channel.
    distance = np.abs((hue / 60 + np.array([0, 4, 2])) % 6 - 3)
    colour = 1 - saturation * np.clip(2 - distance, 0, 1)
    value = rng.uniform(0.5, 0.72) + contrast * field
    return cv2.merge([value * channel for channel in colour.tolist()])


def _photograph(rng, image):
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


def _hue_rotation(angle):
    """The matrix that turns RGB colours about the grey axis (Rodrigues' formula)."""
    c, s = np.cos(angle), np.sin(angle) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return c * np.eye(3) + s * cross + (1 - c) / 3
