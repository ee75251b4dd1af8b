"""tools/export.py as users call it."""

import sys

import pytest

from tests.support.paths import TOOLS
from tests.support.processes import call
from tests.support.random_models import TINY, save, vit_config

SCRIPT = TOOLS / 'export.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp('croc'), vit_config(TINY), 'mmcroc.CrOC').path


@pytest.fixture
def refusal(run_tool):
    return lambda *arguments: run_tool(SCRIPT, *arguments)[0]


def test_the_last_lines_say_where_it_is_and_how_to_load_it(checkpoint, tmp_path):
    out = tmp_path / 'out.safetensors'
    done = call(sys.executable, SCRIPT, checkpoint, '--format', 'timm', '--out', out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1].startswith(f'Exported to {out} (timm, ')
    assert "timm.create_model('vit_small_patch16_224'" in done.stdout
    assert f"checkpoint_path='{out}'" in done.stdout
    assert out.is_file()


def test_refusals_are_one_line(checkpoint, tmp_path, refusal):
    out = tmp_path / 'out.pth'
    assert 'no checkpoint at' in refusal('gone.pth', '--format', 'mmseg', '--out', out)
    (tmp_path / 'bad.pth').write_text('no checkpoint')
    assert 'is no checkpoint' in refusal(tmp_path / 'bad.pth', '--format', 'mmseg', '--out', out)
    assert 'writes .onnx files' in refusal(checkpoint, '--format', 'onnx', '--out', out)
    out.write_text('')
    assert '--force' in refusal(checkpoint, '--format', 'mmpretrain', '--out', out)
    message = refusal(
        checkpoint, '--format', 'timm', '--out', tmp_path / 'o.pth', '--results', 'gone.json'
    )
    assert 'gone.json' in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bad.pth', 'out.pth']


def test_help_names_the_extra_that_hugging_face_and_onnx_need(run_tool):
    assert 'mmcroc[export]' in run_tool(SCRIPT, '--help')[1]
