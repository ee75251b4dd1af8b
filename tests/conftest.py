"""What every test may ask for."""

import functools
import gc
import os
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.support import fork_server
from tests.support.images import write_noise
from tests.support.paths import FIXTURES

# With pytest -n, each worker and what it starts keeps to one core. (Before torch is imported.)
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')


def pytest_configure(config):
    """Start what commands and ranks are forked from, one for all workers."""
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        config.add_cleanup(fork_server.start().communicate)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """Workers are forked from it, too, but where they use a GPU: imports may have asked for it."""
    for spec in specs:
        if spec.popen and config.option.markexpr != 'gpu':
            spec.python = shlex.join(fork_server.PYTHON)


def pytest_generate_tests(metafunc):
    """A test with an argument ``recorded_X`` runs on every file ``X*.npz`` of the fixtures."""
    for name in metafunc.fixturenames:
        if name.startswith('recorded_'):
            pattern = f'{name.removeprefix("recorded_")}*.npz'
            files = sorted(FIXTURES.glob(pattern))
            if not files:
                raise FileNotFoundError(f'{FIXTURES} has no {pattern} (MMCROC_FIXTURES)')
            metafunc.parametrize(name, files, ids=[file.stem for file in files])


@pytest.fixture(scope='session')
def fixtures_dir() -> Path:
    """Numbers of the released implementations: ``MMCROC_FIXTURES`` or the copies beside us."""
    return FIXTURES


@pytest.fixture(autouse=True, scope='session')
def quick_starts():
    """What each run costs before its first step, and no test is about, is paid once.

    MMEngine lays out a run's config five times, asks the compilers for their versions, looks for
    mmcv's operators once for each module, and reads a config's every file anew.
    """
    from mmengine.model import utils
    from mmengine.optim.optimizer import default_constructor
    from mmengine.runner import runner

    from tests.support.read_once import configs_read_once

    def once(module, name):
        return mock.patch.object(module, name, functools.cache(getattr(module, name)))

    with (
        mock.patch('yapf.yapflib.yapf_api.FormatCode', lambda code, **_: (code, True)),
        once(runner, 'collect_env'),
        once(utils, 'mmcv_full_available'),
        once(default_constructor, 'mmcv_full_available'),
        configs_read_once(),
    ):
        yield


@pytest.fixture(scope='session')
def frozen():
    """How many modules are no garbage any more."""
    return {'modules': 0}


@pytest.fixture(autouse=True)
def no_garbage(frozen):
    """Modules that are imported by now are passed over when garbage is collected.

    MMEngine collects for every data set, and of all of its and its relatives' modules that takes
    longer than most data sets do.
    """
    if len(sys.modules) > frozen['modules'] + 500:
        gc.collect()
        gc.freeze()
        frozen['modules'] = len(sys.modules)


@pytest.fixture(autouse=True)
def default_scope():
    """Each test starts without a default scope, as a new process does.

    MMEngine's scopes are global: a test would find those of the runs before it.
    """
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()


@pytest.fixture
def noise_images(tmp_path):
    """Nine small photographs of noise."""
    return write_noise(tmp_path / 'images')
