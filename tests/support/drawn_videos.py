"""Drawn videos in the layout of DAVIS 2017: coloured squares that move over a ground."""

import numpy as np
from PIL import Image

COLOURS = np.array([(60, 90, 60), (230, 40, 40), (40, 60, 230), (240, 230, 60)], np.uint8)


def squares(number, objects=2, height=96, width=160):
    """Ids of squares that move to the right: uint8 (number, height, width)."""
    masks = np.zeros((number, height, width), np.uint8)
    side = height // (objects + 1)
    for t, mask in enumerate(masks):
        for k in range(objects):
            top, left = 4 + k * (side + 4), 8 + 3 * t * (k + 1)
            mask[top : top + side, left : left + side] = k + 1
    return masks


def write_mask(path, ids):
    """Write ids as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(ids)
    picture.putpalette(list(range(256)) * 3)
    picture.save(path)


def write_video(root, name, masks, annotated=None):
    """Write a sequence; frames show the colours of their masks.

    Args:
        root: Folder of DAVIS.
        name: Name of the sequence.
        masks: Ids, uint8 (T, H, W).
        annotated: Number of frames with a mask; default: all.
    """
    for t, ids in enumerate(masks):
        frame = root / 'JPEGImages' / '480p' / name / f'{t:05d}.jpg'
        frame.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOURS[ids % len(COLOURS)]).save(frame, quality=95)
    for t, ids in enumerate(masks[:annotated]):
        write_mask(root / 'Annotations' / '480p' / name / f'{t:05d}.png', ids)


def write_split(root, split, names):
    """Write the list of a split."""
    path = root / 'ImageSets' / '2017' / f'{split}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(names) + '\n')


def draw_davis(root):
    """Three sequences of unlike lengths and sizes, and one for test-dev; returns the folder."""
    write_video(root, 'two', squares(6))
    write_video(root, 'one', squares(4, objects=1, height=160, width=96))
    write_video(root, 'three', squares(5, objects=3, height=120, width=200))
    write_video(root, 'first-only', squares(4), annotated=1)
    write_split(root, 'val', ['two', 'one', 'three'])
    write_split(root, 'test-dev', ['first-only'])
    return root
