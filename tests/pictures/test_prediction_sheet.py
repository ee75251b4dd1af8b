"""The sheet of predictions."""

import numpy as np
from PIL import Image

from mmcroc.pictures.picture_grid import TITLE_HEIGHT
from mmcroc.pictures.prediction_sheet import class_colours, prediction_sheet

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def example(path, prediction):
    label = np.array([[0, 1], [1, 255]], dtype=np.uint8)
    return dict(img_path=str(path), label=label, prediction=np.array(prediction, dtype=np.uint8))


def test_pictures_are_where_they_belong(tmp_path):
    """Image, labels and two predictions; white where labels are ignored."""
    Image.new('RGB', (30, 20), (0, 255, 0)).save(tmp_path / 'a.png')
    columns = dict(
        one=[example(tmp_path / 'a.png', [[0, 0], [1, 1]]), example('none.png', [[1, 1], [1, 1]])],
        two=[example(tmp_path / 'a.png', [[1, 1], [0, 0]]), example('none.png', [[0, 0], [0, 0]])],
    )
    sheet = prediction_sheet(columns, 2, [RED, BLUE], side=20)
    assert sheet.size == (4 * 24, TITLE_HEIGHT + 2 * 24)

    def corners(column, row):
        x, y = column * 24, TITLE_HEIGHT + row * 24
        return [sheet.getpixel((x + dx, y + dy)) for dy in (5, 15) for dx in (5, 15)]

    assert corners(0, 0) == [(0, 255, 0)] * 4
    assert corners(0, 1) == [(128, 128, 128)] * 4
    assert corners(1, 0) == corners(1, 1) == [RED, BLUE, BLUE, WHITE]
    assert corners(2, 0) == [RED, RED, BLUE, WHITE]
    assert corners(3, 0) == [BLUE, BLUE, RED, WHITE]
    assert corners(2, 1) == [BLUE] * 3 + [WHITE]


def test_classes_without_a_palette_get_colours_of_their_own():
    colours = class_colours(30)
    assert len({tuple(colour) for colour in colours[:30].tolist()}) == 30
    assert (colours[30:] == 255).all()
