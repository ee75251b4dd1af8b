"""What image tools write, and the options and names that their tests share."""

import numpy as np
from PIL import Image

#: Options that make the tools quick.
SIDE = ['--longer-side', 64, '--device', 'cpu']
#: Names of the outputs for the two images of the fixture ``images``.
OUTPUTS = ['a.png', 'deep/b.png']


def read(path):
    """Pixels of a picture, as an array."""
    return np.asarray(Image.open(path))


def files(folder):
    """Names of all files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())
