"""Videos with their objects, as a sheet and as a moving picture."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.pictures.label_maps import BOUNDARY, object_colours, painted_objects
from mmcroc.pictures.sheets import MARGIN, TITLE_HEIGHT
from mmcroc.pictures.videos import NUM_SHOWN, video_sheet, write_moving_picture
from tests.support.drawn_videos import squares, write_video


@pytest.fixture
def frames(tmp_path):
    write_video(tmp_path, 'video', squares(9))
    return sorted(tmp_path.glob('JPEGImages/480p/video/*.jpg'))


def test_objects_have_the_colours_of_davis():
    colours = object_colours()
    assert colours[:5].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
    ]  # fmt: skip
    assert len(np.unique(colours, axis=0)) == 256


def test_the_background_stays_as_it_is():
    photo = Image.fromarray(np.full((20, 30, 3), 90, np.uint8))
    ids = np.zeros((20, 30), np.uint8)
    ids[5:10, 5:15] = 2
    painted = np.asarray(painted_objects(photo, ids))
    assert (painted[12:] == 90).all()
    np.testing.assert_allclose(painted[7, 10], [36, 113, 36], atol=1)
    assert painted[7, 14].tolist() == list(BOUNDARY)


def test_a_sheet_shows_frames_from_the_first_to_the_last(frames):
    masks = squares(9)
    sheet = video_sheet(frames, dict(labels=masks, prediction=masks), side=80)
    height, width = 48, 80
    assert sheet.size == (3 * (width + MARGIN), TITLE_HEIGHT + NUM_SHOWN * (height + MARGIN))
    last = TITLE_HEIGHT + (NUM_SHOWN - 1) * (height + MARGIN)
    shown = np.asarray(sheet)[last : last + height, -width - MARGIN : -MARGIN]
    wanted = painted_objects(Image.open(frames[-1]).resize((width, height), 2), masks[-1])
    np.testing.assert_array_equal(shown, np.asarray(wanted))


def test_a_moving_picture_has_every_frame(frames, tmp_path):
    write_moving_picture(tmp_path / 'out' / 'video.gif', frames, squares(9), side=80)
    with Image.open(tmp_path / 'out' / 'video.gif') as moving:
        assert (moving.n_frames, moving.size) == (9, (80, 48))


def test_a_moving_picture_is_whole_or_absent(frames, tmp_path):
    frames[4].unlink()
    with pytest.raises(RuntimeError, match=r'00004\.jpg'):
        write_moving_picture(tmp_path / 'out' / 'video.gif', frames, squares(9))
    assert not (tmp_path / 'out').exists()
