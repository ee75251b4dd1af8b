"""Randomness that depends on the image and the number of the draw alone."""

import numpy as np
import pytest
import torch

from mmcroc.registry import TRANSFORMS


def drawn(draw, place):
    """Where a crop is taken from, and whether it is flipped."""
    rows, columns = np.indices((100, 100), dtype=np.uint8)
    image = np.stack([rows, columns, rows], -1)
    transforms = [
        dict(type='mmcroc.RandomResizedCropWithLabels', size=8, scale=(0.1, 0.5)),
        dict(type='mmseg.RandomFlip', prob=0.5),
    ]
    pipeline = TRANSFORMS.build(dict(type='mmcroc.FixedDraw', transforms=transforms, draw=draw))
    return pipeline(dict(img=image, img_shape=(100, 100), sample_idx=place))['img']


def test_a_draw_repeats_whatever_was_drawn_before():
    want = drawn(1, 3)
    torch.rand(5), np.random.rand(5)  # noqa: NPY002
    np.testing.assert_array_equal(drawn(1, 3), want)


def test_draws_and_images_differ():
    pictures = [drawn(draw, place) for draw in range(2) for place in range(3)]
    assert len({picture.tobytes() for picture in pictures}) == 6


def test_the_generators_outside_are_left_as_they_were():
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    drawn(0, 0)
    assert torch.equal(torch.rand(3), want)


def test_an_image_without_a_place_is_refused():
    pipeline = TRANSFORMS.build(dict(type='mmcroc.FixedDraw', transforms=[]))
    with pytest.raises(KeyError, match='no sample_idx'):
        pipeline({})
