"""tools/segment.py as users call it."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.hsg_models import save_hsg
from tests.support.images import smooth_image, truncate
from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.tool_outputs import OUTPUTS, SIDE, files, read

SCRIPT = TOOLS / 'segment.py'
LEVELS = ['segments', 'level_1', 'level_2']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_hsg(tmp_path_factory.mktemp('hsg'))[1]


@pytest.fixture
def segment(run_tool):
    return partial(run_tool, SCRIPT, *SIDE)


ALL = sorted(f'{folder}/{name}' for folder in [*LEVELS, 'sheets'] for name in OUTPUTS)


def test_a_folder_gives_maps_and_sheets_by_command_line(images, checkpoint, tmp_path):
    out = tmp_path / 'out'
    done = call(sys.executable, SCRIPT, images, checkpoint, '--out', out, '--longer-side', 64)
    assert done.returncode == 0, done.stderr
    assert '2 images segmented, 0 already there, 0 failed' in done.stdout
    assert '2/2' in done.stderr  # the bar
    assert files(out) == ALL
    for name in OUTPUTS:
        maps = [Image.open(out / level / name) for level in LEVELS]
        assert {(one.mode, one.size) for one in maps} == {('P', (64, 48))}
        for labels in map(np.asarray, maps):
            np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
        pairs = np.stack([np.asarray(one).ravel() for one in maps[:2]])
        assert len(np.unique(pairs, axis=1).T) == len(np.unique(pairs[0]))  # unions of segments
    with Image.open(out / 'sheets/a.png') as sheet:
        assert sheet.width > 4 * sheet.height  # image and three levels


def test_another_start_does_what_is_missing_only(images, checkpoint, tmp_path, segment):
    out = tmp_path / 'out'
    segment(images, checkpoint, '--out', out)
    (out / 'level_1/deep/b.png').unlink()
    mark = (out / 'sheets/a.png').stat().st_mtime_ns
    code, output = segment(images, checkpoint, '--out', out)
    assert code == 0 and '1 images segmented, 1 already there' in output
    assert files(out) == ALL and (out / 'sheets/a.png').stat().st_mtime_ns == mark


def test_broken_images_are_named_and_the_others_done(images, checkpoint, tmp_path, segment):
    truncate(images / 'a.jpg')
    code, output = segment(images, checkpoint, '--out', tmp_path / 'out')
    assert code == 1 and f'failed: Cannot read image {images / "a.jpg"}' in output
    assert '1 images segmented' in output and '1 failed' in output
    assert files(tmp_path / 'out') == [name for name in ALL if name.endswith('b.png')]


def test_one_image_of_one_pixel(checkpoint, tmp_path, segment):
    Image.new('RGB', (1, 1), 'red').save(tmp_path / 'dot.png')
    code, _ = segment(tmp_path / 'dot.png', checkpoint, '--out', tmp_path / 'out')
    assert code == 0
    assert all(read(tmp_path / 'out' / level / 'dot.png').tolist() == [[0]] for level in LEVELS)


def test_region_maps_cut_segments_and_a_missing_one_is_named(images, checkpoint, tmp_path, segment):
    (tmp_path / 'regions').mkdir()
    regions = np.zeros((48, 64), np.uint8)
    regions[:, 32:] = 1
    Image.fromarray(regions).save(tmp_path / 'regions/a.png')
    code, output = segment(
        images, checkpoint, '--out', tmp_path / 'out', '--oversegmentation', tmp_path / 'regions'
    )
    assert code == 1 and str(tmp_path / 'regions/deep/b.png') in output
    segments = read(tmp_path / 'out/segments/a.png')
    assert not set(segments[:, :32].flat) & set(segments[:, 32:].flat)


def test_other_models_give_clusters(images, tmp_path, segment):
    code, _ = segment(images, 'rgb', '--out', tmp_path / 'out', '--num-clusters', 3)
    assert code == 0
    assert read(tmp_path / 'out/clusters/a.png').max() == 2
    message, _ = segment(images, 'rgb', '--out', tmp_path / 'o', '--oversegmentation', images)
    assert 'oversegmentation: only HSG' in message


def test_shared_clusters_are_kept_for_another_start(images, checkpoint, tmp_path, segment):
    command = [images, 'rgb', '--out', tmp_path / 'out', '--shared']
    assert segment(*command, '--num-clusters', 3)[0] == 0
    kept = np.load(tmp_path / 'out/centroids.npy')
    assert kept.shape == (3, 5)
    before = read(tmp_path / 'out/clusters/a.png')
    (tmp_path / 'out/clusters/a.png').unlink()
    assert segment(*command)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / 'out/clusters/a.png'), before)
    assert 'holds 3 clusters' in segment(*command, '--num-clusters', 4)[0]
    message, _ = segment(images, checkpoint, '--out', tmp_path / 'o', '--shared')
    assert 'the groups of HSG' in message


def test_wrong_checkpoints_options_and_names_are_refused(images, checkpoint, tmp_path, segment):
    bad = tmp_path / 'bad.pth'
    bad.write_text('no checkpoint')
    assert f'{bad} is no checkpoint' in segment(images, bad, '--out', tmp_path / 'o')[0]
    torch.save(dict(state_dict={'conv.weight': torch.zeros(1)}), bad)
    assert 'holds no config' in segment(images, bad, '--out', tmp_path / 'o')[0]
    assert 'no checkpoint at' in segment(images, 'gone.pth', '--out', tmp_path / 'o')[0]
    message, _ = segment(images, checkpoint, '--out', tmp_path / 'o', '--num-clusters', 3)
    assert 'num_clusters: the groups of HSG' in message
    code, output = segment(tmp_path / 'gone', checkpoint, '--out', tmp_path / 'o')
    assert code == 2 and 'no such image or folder' in output
    Image.fromarray(smooth_image()).save(images / 'a.png')
    message, _ = segment(images, checkpoint, '--out', tmp_path / 'o')
    assert 'a.jpg' in message and 'rename one' in message
    assert not (tmp_path / 'o').exists()
