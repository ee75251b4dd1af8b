"""tools/analysis/plot_curves.py as users call it."""

import runpy
import sys

import pytest
from PIL import Image

from tests.pictures.test_curves import probe, training, write_start
from tests.support.paths import TOOLS
from tests.support.processes import call

SCRIPT = TOOLS / 'analysis' / 'plot_curves.py'


@pytest.fixture
def runs(tmp_path):
    for name, offset in (('one', 0), ('two', 1)):
        records = [*training([1, 2, 3], 2, offset), probe(1, 20.0 + offset)]
        write_start(tmp_path / name, '20260101_000000', records)
    return [tmp_path / 'one', tmp_path / 'two']


def test_two_runs_are_plotted_by_command_line(runs, tmp_path):
    out = tmp_path / 'deep' / 'curves.png'
    done = call(sys.executable, SCRIPT, *runs, '--out', out, '--x', 'epoch')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'3 panels of 2 runs: {out}'
    with Image.open(out) as picture:
        assert picture.format == 'PNG' and picture.width > 600


def test_what_is_wrong_is_named_and_nothing_written(runs, tmp_path, capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPT))['main']([str(one) for one in arguments])
        return stop.value.code, capsys.readouterr().err

    out = tmp_path / 'curves.png'
    message, _ = call(*runs, '--out', out, '--keys', 'loss', 'mIoU')
    assert message.startswith('no run logged mIoU. There are: loss')
    message, _ = call(tmp_path / 'gone', '--out', out)
    assert message.startswith(f'{tmp_path / "gone"}: no vis_data')
    code, errors = call(*runs, '--out', tmp_path / 'curves.doc')
    assert code == 2 and 'must end in one of .png .pdf .svg' in errors
    assert not out.exists()
