"""Label maps over images."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.pictures.overlay import BOUNDARY, IGNORED, overlay_sheet
from mmcroc.pictures.picture_grid import MARGIN, TITLE_HEIGHT, distinct_colours

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
