"""Sheets of overlays, predictions, regions and retrieved regions."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.pictures.label_maps import (
    BOUNDARY,
    IGNORED,
    boundaries,
    class_colours,
    distinct_colours,
    mean_colours,
)
from mmcroc.pictures.sheets import (
    MARGIN,
    OUTLINE,
    REGION_BOUNDARY,
    TITLE_HEIGHT,
    overlay_sheet,
    prediction_sheet,
    region_sheet,
    retrieval_sheet,
)

IMAGE = np.full((20, 40, 3), (40, 80, 200), np.uint8)
LEFT, RIGHT = (10, 10), (10, 30)


def halves(left, right, height=20, width=40):
    labels = np.full((height, width), left)
    labels[:, width // 2 :] = right
    return labels


def cells(sheet, rows, columns):
    """The pictures of a sheet of pictures of 20 x 40."""
    pixels = np.asarray(sheet)
    assert pixels.shape == (TITLE_HEIGHT + rows * (20 + MARGIN), columns * (40 + MARGIN), 3)
    return [
        [
            pixels[TITLE_HEIGHT + r * (20 + MARGIN) :, c * (40 + MARGIN) :][:20, :40]
            for c in range(columns)
        ]
        for r in range(rows)
    ]


def blend(image, label):
    grey = Image.fromarray(image).convert('L').getpixel((0, 0))
    return tuple((grey + distinct_colours([label])[0].astype(int)) // 2)


def test_every_map_is_in_its_column_over_its_image():
    """Whatever size the maps are of."""
    black = np.zeros_like(IMAGE)
    labels = [[(3, 5), (0, 1), (2, 7)], [(900, 5), (1, 0), (6, 6)]]
    examples = [
        (image, dict(a=halves(*pairs[0]), b=halves(*pairs[1], 2, 4), c=halves(*pairs[2], 4, 2)))
        for image, pairs in zip((IMAGE, black), labels, strict=True)
    ]
    for row, (image, _), pairs in zip(
        cells(overlay_sheet(examples, side=40), 2, 4), examples, labels, strict=True
    ):
        np.testing.assert_array_equal(row[0], image)
        for picture, (left, right) in zip(row[1:], pairs, strict=True):
            assert tuple(picture[LEFT]) == blend(image, left)
            assert tuple(picture[RIGHT]) == blend(image, right)
            line = (picture == BOUNDARY).all(-1)
            np.testing.assert_array_equal(line.any(0).nonzero()[0], [19] if left != right else [])


def test_ignored_pixels_are_grey():
    sheet = overlay_sheet([(IMAGE, dict(a=halves(-1, 0), b=halves(0, -1)))], side=40)
    _, first, second = cells(sheet, 1, 3)[0]
    assert tuple(first[LEFT]) == tuple(second[RIGHT]) == IGNORED
    assert tuple(first[RIGHT]) == tuple(second[LEFT]) == blend(IMAGE, 0)


def test_colours_are_distinct_and_belong_to_the_number():
    colours = distinct_colours(range(64))
    assert len({tuple(colour) for colour in colours}) == 64
    np.testing.assert_array_equal(distinct_colours([7, 63, 0]), colours[[7, 63, 0]])


def test_pictures_keep_their_images_aspect():
    """The longer side is ``side``; a portrait's row is as high as it needs."""
    examples = [
        (np.zeros((*shape, 3), np.uint8), dict(a=np.zeros((2, 2), int)))
        for shape in ((30, 60), (60, 30))
    ]
    sheet = overlay_sheet(examples, side=20)
    assert sheet.size == (2 * (20 + MARGIN), TITLE_HEIGHT + 10 + MARGIN + 20 + MARGIN)


@pytest.mark.parametrize('shape', [(1, 1), (1, 90), (90, 1)])
def test_an_image_of_one_pixel_has_its_pictures(shape):
    example = np.zeros((*shape, 3), np.uint8), dict(a=np.zeros(shape, np.int64))
    assert overlay_sheet([example], side=30).width >= 2 * (1 + MARGIN)


def test_examples_with_different_maps_are_refused():
    labels = halves(0, 1)
    with pytest.raises(ValueError, match=r"maps \['a'\], another \['b'\]"):
        overlay_sheet([(IMAGE, dict(a=labels)), (IMAGE, dict(b=labels))])


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
    sheet = prediction_sheet(columns, ['cat', 'sky'], [RED, BLUE], side=20)
    assert sheet.size == (4 * 24, TITLE_HEIGHT + 2 * 24 + 2 * TITLE_HEIGHT)  # two of classes

    def corners(column, row):
        x, y = column * 24, TITLE_HEIGHT + row * 24
        return [sheet.getpixel((x + dx, y + dy)) for dy in (5, 15) for dx in (5, 15)]

    assert corners(0, 0) == [(0, 255, 0)] * 4
    assert corners(0, 1) == [(128, 128, 128)] * 4
    assert corners(1, 0) == corners(1, 1) == [RED, BLUE, BLUE, WHITE]
    assert corners(2, 0) == [RED, RED, BLUE, WHITE]
    assert corners(3, 0) == [BLUE, BLUE, RED, WHITE]
    assert corners(2, 1) == [BLUE] * 3 + [WHITE]


def test_the_classes_that_are_shown_stand_below_in_their_colours():
    columns = dict(one=[example('none.png', [[0, 0], [1, 1]])])
    below = np.asarray(prediction_sheet(columns, ['cat', 'sky', 'none'], [RED, BLUE, BLUE]))
    below = below[-TITLE_HEIGHT:]
    squares = [(below == colour).all(-1).any(0).nonzero()[0] for colour in (RED, BLUE)]
    assert 0 < squares[0].max() < 12 and squares[1].min() > 40 and squares[1].max() < 70
    assert (below == 0).all(-1).any(), 'names are black'


@pytest.mark.parametrize(
    'sheet_of',
    [
        lambda title: prediction_sheet(
            {title: [example('none.png', [[0, 0], [0, 0]])]}, ['a', 'b']
        ),
        lambda title: retrieval_sheet([(title, IMAGE, IMAGE[..., 0] > 0)], 160),
    ],
)
def test_long_names_are_not_cut(sheet_of):
    """Once the first or last letters were all that fitted: other ones, another picture now."""
    name = '/'.join(['work_dirs', 'a' * 20, 'b' * 20, 'epoch_12.pth'])
    whole = np.asarray(sheet_of(name))
    for other in ('X' + name[1:], name[:-1] + 'X'):
        changed = np.asarray(sheet_of(other))
        assert changed.shape == whole.shape and (changed != whole).any()


def test_a_ring_marks_the_point_of_the_query_alone():
    image = np.full((50, 100, 3), 200, np.uint8)
    region = np.ones((50, 100), bool)
    examples = [('query', image, region), ('hit', image, region)]
    plain = np.asarray(retrieval_sheet(examples, 200))
    marked = np.asarray(retrieval_sheet(examples, 200, point=(30, 20)))
    rows, columns = (marked != plain).any(-1).nonzero()
    x, y = 2 * 30 + 1, TITLE_HEIGHT + 2 * 20 + 1
    assert abs(columns.min() + columns.max() - 2 * x) <= 2 and np.ptp(columns) == 14
    assert abs(rows.min() + rows.max() - 2 * y) <= 2
    assert (marked[y, x] == plain[y, x]).all(), 'the point itself stays visible'


def test_classes_without_a_palette_get_colours_of_their_own():
    colours = class_colours(30)
    assert len({tuple(colour) for colour in colours[:30].tolist()}) == 30
    assert (colours[30:] == 255).all()


HALVES = np.zeros((20, 40, 3), np.uint8)
HALVES[:, 20:] = (200, 100, 0)
HALVES[:, 30:] = (100, 100, 0)
REGIONS = np.zeros((20, 40), np.int32)
REGIONS[:, 20:] = 1


def test_image_boundaries_and_mean_colours_stand_side_by_side():
    sheet = np.asarray(region_sheet([(HALVES, REGIONS)] * 2, width=40))
    assert sheet.shape == (2 * (20 + MARGIN), 3 * (40 + MARGIN), 3)
    for top in (0, 20 + MARGIN):
        image, lines, means = (
            sheet[top : top + 20, column * (40 + MARGIN) :][:, :40] for column in range(3)
        )
        np.testing.assert_array_equal(image, HALVES)
        assert (lines[:, 19] == REGION_BOUNDARY).all()
        np.testing.assert_array_equal(np.delete(lines, 19, axis=1), np.delete(HALVES, 19, axis=1))
        assert (means[:, :20] == 0).all()
        assert (means[:, 20:] == (150, 100, 0)).all()


def test_boundaries_are_where_the_right_or_lower_neighbour_differs():
    regions = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]])
    np.testing.assert_array_equal(boundaries(regions), [[0, 1, 0], [1, 1, 1], [0, 0, 0]])


def test_unused_ids_do_no_harm():
    np.testing.assert_array_equal(
        mean_colours(HALVES, 2 * REGIONS)[::2], [(0, 0, 0), (150, 100, 0)]
    )


def test_the_region_keeps_its_colour_inside_an_outline_and_the_rest_is_darkened():
    image = np.full((50, 100, 3), 200, np.uint8)
    region = np.zeros((50, 100), bool)
    region[:30, 20:60] = True  # it touches the upper edge
    sheet = np.asarray(retrieval_sheet([('query', image, region), ('hit', image, ~region)], 100))
    assert sheet.shape == (TITLE_HEIGHT + 50 + MARGIN, 2 * (100 + MARGIN), 3)
    first = sheet[TITLE_HEIGHT:][:50, :100]
    inside = np.zeros_like(region)
    inside[2:28, 22:58] = True
    assert (first[inside] == 200).all() and (first[~region] == 100).all()
    assert (first[region & ~inside] == OUTLINE).all()


def test_tiny_images_and_empty_regions_are_painted():
    dot = np.full((1, 1, 3), 9, np.uint8)
    sheet = retrieval_sheet([('a', dot, np.zeros((1, 1), bool)), ('b', dot, dot[..., 0] > 0)], 16)
    assert sheet.size == (2 * (16 + MARGIN), TITLE_HEIGHT + 16 + MARGIN)
