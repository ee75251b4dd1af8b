"""HSG's neck."""

import math

import pytest
import torch
from torch.testing import assert_close

from mmcroc.hsg.neck import HSGNeck, LearnedPosition2d


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


def looped(table, size, pixels_of_a_row, pixels_of_an_entry, trained):
    """Where the centre of each row lies among the entries, read linearly between two of them."""
    rows = []
    for i in range(size):
        place = (i + 0.5) * pixels_of_a_row / pixels_of_an_entry - 0.5
        place = min(max(place, 0), trained - 1)
        below = math.floor(place)
        above = min(below + 1, trained - 1)
        rows.append(table[below] + (place - below) * (table[above] - table[below]))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ('side', 'stride', 'trained'),
    [
        (448, 8, 448),
        (512, 8, 448),
        (224, 8, 224),
        (512, 8, 224),
        (448, 16, 448),
        (512, 16, 224),
        (512, 32, 448),
        (112, 4, 224),
    ],
)
def test_maps_of_other_strides_read_the_entries_that_training_touched(side, stride, trained):
    position = LearnedPosition2d(6)
    entries = trained // 16
    position.remember((entries, entries), (trained, trained))
    with torch.no_grad():
        for table in (position.row.weight, position.column.weight):
            table[entries:] = math.nan
    size = side // stride
    found = position(size, size, (side, side))
    column, row = (
        looped(table.weight, size, stride, 16, entries) for table in (position.column, position.row)
    )
    assert_close(found[:3, 5], column.T)
    assert_close(found[3:, :, 5], row.T)


def test_an_oblong_map_reads_each_axis_for_itself():
    position = LearnedPosition2d(4)
    position.remember((6, 9), (96, 144))
    found = position(4, 30, (32, 240))
    assert_close(found[2:, :, 0].T, looped(position.row.weight, 4, 8, 16, 6))
    assert_close(found[:2, 0].T, looped(position.column.weight, 30, 8, 16, 9))


def test_the_map_of_training_reads_its_entries_exactly():
    position = LearnedPosition2d(6)
    position.remember((28, 28), (448, 448))
    assert torch.equal(position(28, 28, (448, 448)), position(28, 28))
    assert torch.equal(position(9, 28, (144, 448)), position(9, 28))


def test_positions_that_were_never_trained_are_read_one_by_one():
    position = LearnedPosition2d(6)
    assert torch.equal(position(40, 30, (320, 240)), position(40, 30))


def test_several_sizes_of_views_count_with_the_largest():
    position = LearnedPosition2d(6, num_positions=20)
    for rows, columns in ((14, 7), (7, 14), (10, 10)):
        position.remember((rows, columns), (16 * rows, 16 * columns))
    assert position.trained.tolist() == [[14, 224], [14, 224]]
    position.remember((28, 3), (448, 48))
    assert position.trained.tolist() == [[20, 448], [14, 224]]


def test_frozen_tables_are_not_trained():
    position = LearnedPosition2d(6).requires_grad_(False)
    position.remember((28, 28), (448, 448))
    assert not position.trained.any()


def test_maps_beyond_the_tables_read_them_stretched_by_the_centres():
    position = LearnedPosition2d(4, num_positions=5)
    found = position(10, 5)
    assert_close(found[2:, :, 0].T, looped(position.row.weight, 10, 1, 2, 5))
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
