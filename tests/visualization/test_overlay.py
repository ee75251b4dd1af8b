"""Label maps over images, and in files."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.visualization import compact_labels, overlay, overlay_sheet, write_label_map
from mmcroc.visualization.overlay import LINE

IMAGE = np.full((20, 40, 3), 100, np.uint8)
LABELS = np.zeros((20, 40), np.int64)
LABELS[:, 20:] = 5
LABELS[10:] = -1


def test_labels_are_coloured_lined_and_left_out_where_ignored():
    picture = np.asarray(overlay(IMAGE, LABELS, 40))
    assert picture.shape == IMAGE.shape
    assert (picture[:9, 19] == LINE).all() and (picture[9] == LINE).all()
    assert (picture[10:] == 100).all()
    left, right = picture[:9, :19].reshape(-1, 3), picture[:9, 20:].reshape(-1, 3)
    assert len(np.unique(left, axis=0)) == len(np.unique(right, axis=0)) == 1
    assert (left[0] != right[0]).any() and (left[0] != 100).any()


@pytest.mark.parametrize('shape', [(1, 1), (1, 90), (90, 1)])
def test_a_sheet_of_any_shape_has_a_picture_per_map(shape):
    image, labels = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.int64)
    one = overlay_sheet(image, dict(a=labels), side=30)
    two = overlay_sheet(image, dict(a=labels, b=labels), side=30)
    assert two.width > one.width and two.height == one.height


def test_compact_labels_keep_their_order_and_what_is_ignored():
    np.testing.assert_array_equal(compact_labels(LABELS)[:10], np.minimum(LABELS[:10], 1))
    np.testing.assert_array_equal(compact_labels(LABELS)[10:], -1)
    np.testing.assert_array_equal(compact_labels(LABELS[10:]), LABELS[10:])


@pytest.mark.parametrize(('number', 'mode', 'ignored'), [(255, 'P', 255), (256, 'I;16', 65535)])
def test_a_file_holds_the_labels(tmp_path, number, mode, ignored):
    labels = np.arange(-1, number).reshape(1, -1)
    write_label_map(tmp_path / 'a.png', labels)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image)[0], [ignored, *range(number)])
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match='65536 labels'):
        write_label_map(tmp_path / 'b.png', np.array([[65535]]))
