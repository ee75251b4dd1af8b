"""DAVIS on disk: what is wrong is named before anything is computed."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmcroc.data.image_reading import UnreadableImageError
from mmcroc.evaluation.davis import score_davis
from mmcroc.evaluation.davis_folder import read_masks, read_split, write_masks
from tests.support.drawn_videos import draw_davis, squares, write_mask, write_split, write_video
from tests.support.images import truncate


@pytest.fixture
def root(tmp_path):
    return draw_davis(tmp_path / 'DAVIS')


def test_a_split_tells_frames_masks_sizes_and_objects(root):
    two, one, three = read_split(root, 'val')
    assert [video.name for video in (two, one, three)] == ['two', 'one', 'three']
    assert [len(video.frames) for video in (two, one, three)] == [6, 4, 5]
    assert [video.num_objects for video in (two, one, three)] == [2, 1, 3]
    assert (two.size, one.size) == ((96, 160), (160, 96))
    assert two.scored and two.frames[3].name == '00003.jpg'
    (first_only,) = read_split(root, 'test-dev')
    assert not first_only.scored and len(first_only.annotations) == 1


def remove(*parts):
    return lambda root: root.joinpath(*parts).unlink()


def mask(name, change):
    """Change a mask of sequence 'two'."""

    def changed(root):
        path = root / 'Annotations' / '480p' / 'two' / name
        picture = change(np.array(Image.open(path)))
        picture.save(path)

    return changed


def two_colours(root):
    """Leave two colours of the palette of a mask with the ids 0, 1 and 2."""
    path = root / 'Annotations' / '480p' / 'two' / '00000.png'
    data = path.read_bytes()
    at = data.index(b'PLTE')
    (length,) = struct.unpack('>I', data[at - 4 : at])
    chunk = b'PLTE' + data[at + 4 : at + 10]
    chunk = struct.pack('>I', 6) + chunk + struct.pack('>I', zlib.crc32(chunk))
    path.write_bytes(data[: at - 4] + chunk + data[at + 8 + length :])


def frame(name, size):
    def changed(root):
        Image.new('RGB', size).save(root / 'JPEGImages' / '480p' / 'two' / name)

    return changed


FRAMES, MASKS = ('JPEGImages', '480p', 'two'), ('Annotations', '480p', 'two')
WRONG = {
    'a frame is missing between others': (
        remove(*FRAMES, '00002.jpg'),
        r'two/00002.jpg is missing: 00003.jpg follows 00001.jpg',
    ),
    'the last frame is missing': (
        remove(*FRAMES, '00005.jpg'),
        r'JPEGImages/480p/two/00005.jpg is missing: .*00005.png is its mask',
    ),
    'a mask is missing': (
        remove(*MASKS, '00003.png'),
        r'Annotations/480p/two/00003.png is missing: frame 00003 has no mask',
    ),
    'no sequence of that name': (
        lambda root: write_split(root, 'val', ['two', 'nowhere']),
        r'nowhere: no such folder, or no \*.jpg in it',
    ),
    'only the first frame of one sequence is annotated': (
        lambda root: write_split(root, 'val', ['two', 'first-only']),
        'of first-only only the first frame is annotated, of others every frame',
    ),
    'one frame': (
        lambda root: (write_video(root, 'short', squares(1)), write_split(root, 'val', ['short'])),
        'short: a sequence of 1 frames; .* it takes 3',
    ),
    'two frames': (
        lambda root: (write_video(root, 'short', squares(2)), write_split(root, 'val', ['short'])),
        'short: a sequence of 2 frames; .* it takes 3',
    ),
    'an empty list': (lambda root: write_split(root, 'val', []), 'val.txt lists no sequence'),
    'frames of two sizes': (
        frame('00002.jpg', (90, 70)),
        r'two/00002.jpg is 70x90, .*00000.jpg 96x160',
    ),
    'a mask of another size than its frame': (
        mask('00004.png', lambda ids: Image.fromarray(ids[:50])),
        r'two/00004.png is 50x160, .*00000.jpg 96x160',
    ),
    'a mask of colours': (
        mask('00000.png', lambda ids: Image.fromarray(ids).convert('RGB')),
        r'two/00000.png holds colours \(RGB\); pixels of a mask must be ids',
    ),
    'more objects than a palette has colours': (
        two_colours,
        '00000.png has ids up to 2, more than the 2 colours of its palette',
    ),
    'more objects than any palette': (
        mask('00000.png', lambda ids: Image.fromarray(ids.astype(np.uint16) * 150)),
        '00000.png has ids up to 300, more than the 256 colours',
    ),
    "masks of DAVIS 2016's": (
        mask('00000.png', lambda ids: Image.fromarray(255 * (ids > 0).astype(np.uint8))),
        '00000.png shows no object: .* those of DAVIS 2016',
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_what_is_wrong_is_named(case, root):
    spoil, message = WRONG[case]
    spoil(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_split(root, 'val')


def test_an_unknown_split_is_answered_with_those_there_are(root):
    with pytest.raises(FileNotFoundError, match=r'train.txt: no such split; .*: test-dev, val'):
        read_split(root, 'train')


def test_a_broken_mask_is_named(root):
    path = root.joinpath(*MASKS, '00000.png')
    truncate(path)
    with pytest.raises(UnreadableImageError, match=str(path)):
        read_split(root, 'val')


def test_masks_come_back_as_written_and_all_or_none_of_them(root, tmp_path):
    video = read_split(root, 'val')[0]
    masks = list(squares(6))
    write_masks(video, tmp_path / 'out', masks, 'record')
    for found, wanted in zip(read_masks(video, tmp_path / 'out'), masks, strict=True):
        np.testing.assert_array_equal(found, wanted)
    with Image.open(tmp_path / 'out' / 'two' / '00003.png') as picture:
        assert picture.mode == 'P' and picture.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]
    with pytest.raises(ValueError):  # a mask too few
        write_masks(video, tmp_path / 'out', masks[:-1], 'other')
    assert (tmp_path / 'out' / 'two' / 'settings.json').read_text() == 'record'
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['two']


def results(root, folder, change=lambda masks: masks):
    """A folder of results for the only sequence, one of the root's own masks each."""
    write_split(root, 'val', ['two'])
    for t, ids in enumerate(change(squares(6))):
        write_mask(folder / 'two' / f'{t:05d}.png', ids)
    return folder


def test_truth_scores_a_hundred(root, tmp_path):
    report = score_davis(results(root, tmp_path / 'results'), root)
    assert report['metrics']['J&F'] == report['metrics']['J'] == report['metrics']['F'] == 100
    assert report['protocol'] == 'davis2017-evaluation'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda masks: masks + (masks == 2), r'00001.png has id 3, but .* two has 2 objects'),
        (lambda masks: masks[:, :-1], r'00000.png is 95x160, its frame 96x160'),
        (lambda masks: masks[:-1], r'two/00005.png is missing: every frame needs its mask'),
    ],
)
def test_results_that_do_not_fit_are_named(change, message, root, tmp_path):
    folder = results(root, tmp_path / 'results', change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        score_davis(folder, root)


def test_a_split_without_truth_is_not_scored(root, tmp_path):
    with pytest.raises(ValueError, match=r'test-dev of .* cannot be scored'):
        score_davis(tmp_path, root, 'test-dev')
