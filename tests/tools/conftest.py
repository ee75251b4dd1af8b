"""How tools are run, and on what."""

import runpy

import pytest

from tests.support.images import write_images
from tests.support.mini_data import make_voc


@pytest.fixture
def run_tool(capsys):
    """Run a tool in this process until it exits: (exit status or message, what it printed)."""

    def run(script, *arguments):
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(script))['main']([*map(str, arguments)])
        captured = capsys.readouterr()
        return stop.value.code, captured.out + captured.err

    return run


@pytest.fixture
def images(tmp_path):
    """A folder of two; a tool's results of them are ``a.png`` and ``deep/b.png``."""
    write_images(tmp_path / 'in', ['a.jpg', 'deep/b.png'])
    return tmp_path / 'in'


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    """Pascal VOC of three images a split, as configs want it."""
    root = tmp_path_factory.mktemp('voc')
    make_voc(root)
    return root
