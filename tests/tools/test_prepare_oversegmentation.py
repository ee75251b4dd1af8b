import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.support.drawn_regions import assert_regions, patches, two_tone
from tests.support.images import truncate
from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.tool_outputs import files, read

SCRIPT = TOOLS / 'prepare_oversegmentation.py'
NAMES = ['a.png', 'deep/er/b.jpg', 'deep/c.png']
MAPS = ['a.png', 'contact_sheet.png', 'deep/c.png', 'deep/er/b.png']


@pytest.fixture
def prepare(run_tool):
    return partial(run_tool, SCRIPT, '--num-workers', 1)


@pytest.fixture
def images(tmp_path):
    for seed, name in enumerate(NAMES):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patches(seed, 40 + seed, 50)).save(path)
    return tmp_path / 'in'


def test_the_tree_is_mirrored_by_command_line_with_two_workers(images, tmp_path):
    run = call(sys.executable, SCRIPT, images, tmp_path / 'out', '--num-workers', 2)
    assert run.returncode == 0, run.stderr
    assert '3 made' in run.stdout
    assert '3/3' in run.stderr  # the bar
    assert files(tmp_path / 'out') == MAPS
    for name, height in (('a.png', 40), ('deep/er/b.png', 41), ('deep/c.png', 42)):
        regions = read(tmp_path / 'out' / name)
        assert regions.dtype == np.uint8
        assert_regions(regions, (height, 50), 48)


@pytest.mark.parametrize('method', ['owt-ucm', 'felzenszwalb', 'slic'])
def test_every_method_keeps_to_the_number_of_regions(images, tmp_path, prepare, method):
    code, _ = prepare(images, tmp_path / 'out', '--method', method, '--max-regions', 5)
    assert code == 0
    for name in MAPS[2:]:
        assert read(tmp_path / 'out' / name).max() < 5


@pytest.mark.parametrize('method', ['owt-ucm', 'felzenszwalb', 'slic'])
def test_regions_of_smaller_copies_are_of_the_images_size(images, tmp_path, prepare, method):
    code, _ = prepare(images, tmp_path / 'out', '--method', method, '--longer-side', 20)
    assert code == 0
    for name, height in (('a.png', 40), ('deep/er/b.png', 41), ('deep/c.png', 42)):
        regions = read(tmp_path / 'out' / name)
        assert_regions(regions, (height, 50), 48, corners=True)
        # Blocks: 50 columns show no more than 20 different ones.
        assert len(np.unique(regions, axis=1).T) <= 20


def test_edges_of_the_images_size_do_not_go_with_smaller_copies(images, tmp_path, prepare):
    code, said = prepare(images, tmp_path / 'out', '--edges', images, '--longer-side', 20)
    assert code != 0 and "--edges are of the images' size" in f'{code} {said}'


def test_tokens_of_a_model_make_regions_and_another_start_keeps_them(images, tmp_path, prepare):
    command = (images, tmp_path / 'out', '--method', 'tokens', '--model', 'rgb', '--max-regions', 9)
    code, output = prepare(*command)
    assert code == 0 and '3 made' in output
    for name, height in (('a.png', 40), ('deep/er/b.png', 41), ('deep/c.png', 42)):
        assert_regions(read(tmp_path / 'out' / name), (height, 50), 9, corners=True)
    assert '3 already there' in prepare(*command)[1]


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--method', 'tokens'], '--method tokens takes the tokens of --model MODEL'),
        (['--model', 'rgb'], '--method tokens takes the tokens of --model MODEL'),
        (['--method', 'tokens', '--model', 'none.pth'], 'none.pth cannot be used so: '),
    ],
)
def test_tokens_need_a_model_and_others_take_none(images, tmp_path, prepare, options, sentence):
    code, output = prepare(images, tmp_path / 'out', *options)
    assert code != 0 and sentence in f'{code} {output}'
    assert not (tmp_path / 'out').exists()


def test_another_start_keeps_valid_maps_and_makes_the_others(images, tmp_path, prepare):
    out = tmp_path / 'out'
    prepare(images, out)
    mark = np.full((40, 50), 3, np.uint8)  # not what the tool would make
    Image.fromarray(mark).save(out / 'a.png')
    truncate(out / 'deep/c.png')
    Image.fromarray(mark).save(out / 'deep/er/b.png')  # its image is 41 × 50
    code, output = prepare(images, out)
    assert code == 0
    assert '2 made' in output and '1 already there' in output
    np.testing.assert_array_equal(read(out / 'a.png'), mark)
    assert_regions(read(out / 'deep/c.png'), (42, 50), 48)
    assert_regions(read(out / 'deep/er/b.png'), (41, 50), 48)
    assert files(out) == MAPS  # nothing temporary


def test_bad_images_are_named_and_the_others_done(images, tmp_path, prepare):
    truncate(images / 'a.png')
    (images / 'deep/d.png').write_bytes(b'')
    code, output = prepare(images, tmp_path / 'out')
    assert code == 1
    assert f'failed: Cannot read image {images / "a.png"}' in output
    assert f'failed: Cannot read image {images / "deep/d.png"}: the file is empty' in output
    assert '2 made' in output and '2 failed' in output
    assert files(tmp_path / 'out') == MAPS[1:]


def test_regions_stand_as_the_exif_orientation_says(tmp_path, prepare):
    image, expected = two_tone()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    (tmp_path / 'in').mkdir()
    Image.fromarray(np.rot90(image)).save(tmp_path / 'in/a.png', exif=exif)
    prepare(tmp_path / 'in', tmp_path / 'out')
    np.testing.assert_array_equal(read(tmp_path / 'out/a.png'), expected)


def test_edges_of_the_user_decide(images, tmp_path, prepare):
    """The middle line as only edge; an edge map missing, one of another size."""
    edges = np.zeros((40, 50), np.float32)
    edges[:, 24:26] = 0.9
    (tmp_path / 'edges/deep/er').mkdir(parents=True)
    np.save(tmp_path / 'edges/a.npy', edges)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / 'edges/deep/er/b.png')
    code, output = prepare(images, tmp_path / 'out', '--edges', tmp_path / 'edges')
    assert code == 1
    np.testing.assert_array_equal(read(tmp_path / 'out/a.png'), two_tone(40, 50, 25)[1])
    assert 'b.png is (9, 9), its image (41, 50)' in output
    assert 'no edge map at' in output and '2 failed' in output


def test_more_than_256_regions_take_16_bits(tmp_path, prepare):
    (tmp_path / 'in').mkdir()
    Image.fromarray(patches(0, 200, 300, 20)).save(tmp_path / 'in/a.png')
    prepare(tmp_path / 'in', tmp_path / 'out', '--threshold', 0, '--max-regions', 1024)
    regions = read(tmp_path / 'out/a.png')
    assert regions.max() > 255
    assert regions.dtype == np.uint16
    assert_regions(regions, (200, 300), 1024)


def test_limit_and_names_that_collide(images, tmp_path, prepare):
    assert '1 made' in prepare(images, tmp_path / 'out', '--limit', 1)[1]
    Image.new('RGB', (9, 9)).save(images / 'a.jpg')
    message, _ = prepare(images, tmp_path / 'out')
    assert 'a.jpg' in message and 'a.png' in message


def test_missing_higra_names_the_extra_before_any_work(images, tmp_path, prepare, monkeypatch):
    monkeypatch.setitem(sys.modules, 'higra', None)
    code, output = prepare(images, tmp_path / 'out')
    assert code == 2
    assert 'pip install "mmcroc[oversegmentation]"' in output
    assert not (tmp_path / 'out').exists()
