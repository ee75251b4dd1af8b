"""The two rules of nearest-neighbour resizing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmcroc.numerics.resize import nearest_indices, nearest_resize


@pytest.mark.parametrize('size', [(3, 5), (12, 10), (6, 10)])
@pytest.mark.parametrize('dtype', [torch.int16, torch.int32, torch.int64])
def test_nearest_resize_is_torchs_and_keeps_large_ids(size, dtype):
    labels = torch.arange(60, dtype=dtype).view(1, 6, 10) + 30000
    want = F.interpolate(labels[None].double(), size, mode='nearest')[0].to(dtype)
    assert torch.equal(nearest_resize(labels, *size), want)


@pytest.mark.parametrize(('source', 'target'), [(28, 100), (448, 100), (60, 1242), (124, 28)])
def test_nearest_resize_is_exact_where_float32_rounds(source, target):
    got = nearest_resize(torch.arange(source)[None], 1, target)[0]
    assert got.tolist() == [i * source // target for i in range(target)]


def test_nearest_indices_are_those_of_pixel_centres():
    for source, target in [(7, 7), (5, 13), (13, 5), (1, 4), (4, 1), (640, 333)]:
        centres = (np.arange(target) + 0.5) * source / target
        expected = np.abs(centres[:, None] - (np.arange(source) + 0.5)).argmin(1)
        got = nearest_indices(source, target, 0, target)
        # Ties between two source pixels are rounding's to decide in the oracle.
        distance = np.abs(got + 0.5 - centres)
        np.testing.assert_allclose(distance, np.abs(expected + 0.5 - centres), atol=1e-9)
        np.testing.assert_array_equal(nearest_indices(source, target, 1, target - 1), got[1:])
