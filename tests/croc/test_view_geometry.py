"""Patch positions in closed form."""

import pytest
import torch

from mmcroc.croc.clustering import patch_positions


def test_a_view_of_the_whole_image_has_its_patches_where_they_are():
    x, y = patch_positions(torch.tensor([0.0, 0.0, 64.0, 32.0, 0.0]), (2, 4)).T
    assert x[:4].tolist() == [7.5, 23.5, 39.5, 55.5]
    assert y.tolist() == [7.5] * 4 + [23.5] * 4


def test_a_flip_reverses_columns_only():
    box = torch.tensor([10.0, 20.0, 100.0, 50.0, 0.0])
    plain = patch_positions(box, (3, 5)).view(3, 5, 2)
    box[4] = 1
    flipped = patch_positions(box, (3, 5)).view(3, 5, 2)
    torch.testing.assert_close(flipped, plain.flip(1))


def test_boxes_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r'5 numbers.*\(2, 4\)'):
        patch_positions(torch.zeros(2, 4), (2, 2))
