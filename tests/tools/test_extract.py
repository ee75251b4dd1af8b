"""tools/extract.py as users call it."""

import json
import sys
from functools import partial

import numpy as np
import pytest

import mmcroc
from tests.support.images import truncate
from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.tool_outputs import SIDE, files

SCRIPT = TOOLS / 'extract.py'
MODEL = 'random:deit-tiny/16'
OUTPUTS = ['a.npz', 'deep/b.npz', 'settings.json']


@pytest.fixture
def extract(run_tool):
    return partial(run_tool, SCRIPT, MODEL)


def test_a_folder_gives_the_features_of_each_image_by_command_line(images, tmp_path):
    out = tmp_path / 'out'
    done = call(sys.executable, SCRIPT, MODEL, images, '--out', out, '--longer-side', 64)
    assert done.returncode == 0, done.stderr
    assert 'features of 2 images, 0 already there, 0 failed' in done.stdout
    assert '2/2' in done.stderr  # the bar
    assert files(out) == OUTPUTS
    with np.load(out / 'a.npz') as file:
        found, metadata = file['features'], json.loads(str(file['metadata']))
    want = mmcroc.dense_features(MODEL, images / 'a.jpg', longer_side=64)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, want.numpy(), rtol=1e-2, atol=1e-2)
    assert (metadata['model'], metadata['stride'], metadata['longer_side']) == (MODEL, 16, 64)
    assert (metadata['height'], metadata['width']) == (48, 64)


def test_layers_are_kept_by_the_numbers_they_were_asked_by(images, tmp_path, extract):
    code, _ = extract(
        images / 'a.jpg', '--out', tmp_path / 'o', *SIDE, '--layers', 3, -1, '--dtype', 'float32'
    )
    assert code == 0
    want = mmcroc.dense_features(MODEL, images / 'a.jpg', longer_side=64, layers=[3, -1])
    with np.load(tmp_path / 'o/a.npz') as file:
        for name, each in zip(['layer_3', 'layer_-1'], want, strict=True):
            np.testing.assert_allclose(file[name], each.numpy(), rtol=0, atol=1e-5)


def test_another_start_does_what_is_missing_only(images, tmp_path, extract):
    out = tmp_path / 'out'
    extract(images, '--out', out, *SIDE)
    (out / 'deep/b.npz').unlink()
    mark = (out / 'a.npz').stat().st_mtime_ns
    code, output = extract(images, '--out', out, *SIDE)
    assert code == 0 and 'features of 1 images, 1 already there' in output
    assert files(out) == OUTPUTS and (out / 'a.npz').stat().st_mtime_ns == mark


def test_a_folder_of_other_settings_is_left_alone(images, tmp_path, extract):
    out = tmp_path / 'out'
    extract(images, '--out', out, *SIDE)
    message, _ = extract(images, '--out', out, *SIDE, '--dtype', 'float32')
    assert 'dtype: float16 there, float32 here' in message and 'another --out' in message


def test_broken_images_are_named_and_the_others_done(images, tmp_path, extract):
    truncate(images / 'a.jpg')
    code, output = extract(images, '--out', tmp_path / 'out', *SIDE)
    assert code == 1 and f'failed: Cannot read image {images / "a.jpg"}' in output
    assert 'features of 1 images' in output and '1 failed' in output
    assert files(tmp_path / 'out') == OUTPUTS[1:]


def test_wrong_models_and_layers_are_refused_before_anything_is_written(
    images, tmp_path, run_tool, extract
):
    out = tmp_path / 'o'
    message, _ = extract(images, '--out', out, *SIDE, '--layers', 12)
    assert 'has 12 layers, 0 to 11' in message
    message, _ = run_tool(SCRIPT, 'rgb', images, '--out', out, *SIDE, '--layers', 0)
    assert 'hands out its last map only' in message
    message, _ = run_tool(SCRIPT, 'gone.pth', images, '--out', out)
    assert 'no checkpoint at' in message
    code, output = extract(tmp_path / 'gone', '--out', out)
    assert code == 2 and 'no such image or folder' in output
    assert not out.exists()
