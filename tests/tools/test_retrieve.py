"""tools/retrieve.py as users call it."""

import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.hsg_models import save_hsg
from tests.support.images import truncate, write_images
from tests.support.paths import TOOLS
from tests.support.processes import call

SCRIPT = TOOLS / 'retrieve.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_hsg(tmp_path_factory.mktemp('hsg'))[1]


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / 'in', ['a.jpg', 'b.png', 'deep/c.png'])
    return tmp_path / 'in'


@pytest.fixture
def retrieve(capsys, checkpoint, tmp_path):
    """Run the tool in this process: (error or None, what it printed)."""

    def run(image, memory, *options, level='coarse', point=(3, 4), model=None):
        command = [
            image, '--memory', memory, '--point', *point, '--level', level, '--checkpoint',
            model or checkpoint, '--out', tmp_path / 'out/x.png', '--longer-side', 64,
            '--device', 'cpu', *options,
        ]  # fmt: skip
        error = None
        try:
            runpy.run_path(str(SCRIPT))['main'](list(map(str, command)))
        except SystemExit as stop:
            error = stop.code
        captured = capsys.readouterr()
        return error, captured.out + captured.err

    return run


def test_a_folder_gives_a_picture_and_a_memory_by_command_line(images, checkpoint, tmp_path):
    out = tmp_path / 'out' / 'hits.png'
    done = call(
        sys.executable, SCRIPT, images / 'a.jpg', '--point', 3, 4, '--level', 'fine', '--memory',
        images, '--checkpoint', checkpoint, '--out', out, '--longer-side', 64, '--top-k', 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '2 nearest of' in done.stdout and 'level_1' in done.stdout and '3/3' in done.stderr
    with Image.open(out) as sheet:
        assert sheet.width == 3 * 244
    assert len(list(out.parent.glob('in-*.npz'))) == 1


def test_the_memory_is_reused_for_any_level_and_from_its_file(images, tmp_path, retrieve):
    error, output = retrieve(images / 'a.jpg', images, level='segment')
    assert error is None and 'memory written to' in output
    (file,) = (tmp_path / 'out').glob('*.npz')
    written = file.stat().st_mtime_ns
    for memory in (images, file):
        for level in ('segment', 'segments', 'fine', 'coarse', 'level_2'):
            error, output = retrieve(images / 'a.jpg', memory, level=level)
            assert error is None and f'read from {file}' in output
    assert file.stat().st_mtime_ns == written


def test_memories_of_another_model_settings_or_folder_are_refused(images, tmp_path, retrieve):
    retrieve(images / 'a.jpg', images)
    (file,) = (tmp_path / 'out').glob('*.npz')
    other = save_hsg(tmp_path, seed=1)[1]
    assert 'built otherwise (model' in retrieve(images / 'a.jpg', file, model=other)[0]
    assert 'longer_side' in retrieve(images / 'a.jpg', file, '--longer-side', 96)[0]
    write_images(images, ['new.png'])
    assert 'holds other images' in retrieve(images / 'a.jpg', images)[0]
    assert retrieve(images / 'a.jpg', images, '--memory-file', tmp_path / 'm.npz')[0] is None
    assert 'no memory of regions' in retrieve(images / 'a.jpg', images / 'b.png')[0]


def test_unreadable_images_of_the_folder_are_named_and_the_rest_done(images, retrieve):
    truncate(images / 'b.png')
    error, output = retrieve(images / 'a.jpg', images)
    assert error is None and f'failed: Cannot read image {images / "b.png"}' in output
    assert '1 left out' in output
    assert 'read from' in retrieve(images / 'a.jpg', images)[1]


def test_bad_queries_and_empty_folders_are_refused(images, tmp_path, retrieve):
    query = images / 'a.jpg'
    assert 'lies outside the image of 64 x 48' in retrieve(query, images, point=(64, 0))[0]
    message = retrieve(query, images, level='coarser')[0]
    assert '--level coarser' in message and 'coarse, segments, level_1, level_2' in message
    assert 'no such file' in retrieve(images / 'gone.png', images)[0]
    assert not (tmp_path / 'out').exists()
    (tmp_path / 'empty').mkdir()
    assert 'the memory is empty' in retrieve(query, tmp_path / 'empty')[0]
    assert retrieve(query, tmp_path / 'gone')[0] == 2
    assert 'no checkpoint at' in retrieve(query, images, model='gone.pth')[0]


def test_one_image_of_one_pixel(images, tmp_path, retrieve):
    Image.new('RGB', (1, 1), 'red').save(tmp_path / 'dot.png')
    assert retrieve(tmp_path / 'dot.png', images, point=(0, 0))[0] is None


def test_regions_cut_the_query_and_the_memory(images, tmp_path, retrieve):
    regions = np.zeros((48, 64), np.uint8)
    regions[:, 32:] = 1
    for name in ('a.png', 'b.png', 'deep/c.png'):
        path = tmp_path / 'maps' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(regions).save(path)
    maps = '--oversegmentation', tmp_path / 'maps', '--query-regions', tmp_path / 'maps/a.png'
    assert retrieve(images / 'a.jpg', images, *maps)[0] is None
    (file,) = (tmp_path / 'out').glob('*.npz')
    assert retrieve(images / 'a.jpg', file, *maps)[0] is None
    assert 'was built with' in retrieve(images / 'a.jpg', images)[0]
    assert retrieve(images / 'a.jpg', images, *maps[:2])[0] == 2


def test_other_models_retrieve_clusters(images, retrieve):
    options = '--num-clusters', 3
    error, output = retrieve(images / 'a.jpg', images, *options, model='rgb', level='clusters')
    assert error is None and 'of 9 regions (clusters)' in output
