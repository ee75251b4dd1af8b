"""Label maps as colours and in files."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.pictures.label_maps import compact_labels, write_label_map

LABELS = np.zeros((20, 40), np.int64)
LABELS[:, 20:] = 5
LABELS[10:] = -1


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
