"""HSG's neck."""

import pytest
import torch
from torch.testing import assert_close

from mmcroc.models import HSGNeck
from mmcroc.models.necks.hsg_neck import LearnedPosition2d


def test_positions_are_the_columns_entry_then_the_rows():
    position = LearnedPosition2d(6, num_positions=9)
    found = position(4, 7)
    assert found.shape == (6, 4, 7)
    for y in range(4):
        for x in range(7):
            want = torch.cat([position.column.weight[x], position.row.weight[y]])
            assert torch.equal(found[:, y, x], want)


def test_position_tables_start_uniform():
    position = LearnedPosition2d(128)
    for table in (position.row.weight, position.column.weight):
        assert table.shape == (50, 64)
        assert 0 <= table.min() < 0.01 and 0.99 < table.max() <= 1


def test_maps_beyond_the_tables_get_them_interpolated_end_to_end():
    position = LearnedPosition2d(4, num_positions=5)
    found = position(9, 5)
    assert_close(found[2:, ::2, 0].T, position.row.weight)
    assert_close(found[2:, 1, 0], position.row.weight[:2].mean(0))
    assert torch.equal(found[:2, 0].T, position.column.weight)


def test_odd_channels_are_told():
    with pytest.raises(ValueError, match='channels=5'):
        LearnedPosition2d(5)


def test_projection_looks_at_one_pixel_of_the_last_map():
    neck = HSGNeck(8, 12, 4).eval()
    features = torch.randn(2, 8, 5, 5)
    found = neck((torch.zeros(0), features))
    assert found.shape == (2, 4, 5, 5)
    features[0, :, 2, 3] += 1
    changed = (neck((features,)) != found).any(1)
    assert changed.sum() == 1 and changed[0, 2, 3]


def test_projection_is_convolution_norm_relu_convolution():
    neck = HSGNeck(8, 12, 4)
    first, last = neck.projection
    assert first.conv.bias is None and last.bias is not None
    features = torch.randn(2, 8, 5, 5)
    hidden = torch.einsum('oi,nihw->nohw', first.conv.weight[..., 0, 0], features)
    mean, variance = hidden.mean((0, 2, 3), True), hidden.var((0, 2, 3), False, keepdim=True)
    hidden = ((hidden - mean) / (variance + 1e-5).sqrt()).relu()
    want = torch.einsum('oi,nihw->nohw', last.weight[..., 0, 0], hidden)
    assert_close(neck((features,)), want + last.bias[:, None, None], rtol=1e-4, atol=1e-5)


def test_hidden_channels_are_the_inputs_unless_told():
    assert HSGNeck(8).projection[0].conv.out_channels == 8
    assert HSGNeck(8, norm_cfg=dict(type='GN', num_groups=2)).projection[0].norm.num_groups == 2
