"""A user's own folder: images, masks by the same names, names of the classes."""

import numpy as np
import torch
from PIL import Image
from torch import nn

#: Settings that make evaluations short.
FEW = dict(image_size=64, seeds=[0], num_restarts=1, num_workers=0)


class TinyNet(nn.Module):
    """Counts its forward passes, its copies' included."""

    calls = 0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 8, 8)

    def forward(self, images):
        type(self).calls += 1
        return self.conv(images)


def draw_own(root, number=8, values=(0, 1, 2), side=64):
    """Images whose quarters have the colours of their classes, and masks; gives both folders."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (256, 3))
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    for i in range(number):
        mask = np.asarray(values)[rng.integers(0, len(values), (2, 2))]
        mask = mask.repeat(side // 2, 0).repeat(side // 2, 1).astype(np.uint8)
        image = np.clip(colours[mask] + rng.normal(0, 8, (side, side, 3)), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(root / 'images' / f'{i:02}.jpg')
        Image.fromarray(mask).save(root / 'masks' / f'{i:02}.png')
    return root / 'images', root / 'masks'


def score_videos(model, data_root, split, out_dir, radius):
    """A protocol that is a function of its own."""
    assert split == 'val'
    return dict(metrics=dict(score=radius + model.channels), root=data_root, settings={})
