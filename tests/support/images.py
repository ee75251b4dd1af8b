"""Images for the tests, made on the spot."""

import numpy as np
from PIL import Image


def smooth_image(height=48, width=64, seed=0):
    """A smooth colour image that JPEG keeps well: uint8 RGB (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_images(folder, names, **kwargs):
    """Write smooth images, each of its own content, making folders as needed."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(seed=seed, **kwargs)).save(path)


def truncate(path):
    """Cut off the second half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def write_noise(folder):
    """Write nine small photographs of noise; gives the folder."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(9):
        noise = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f'{i}.png')
    return folder
