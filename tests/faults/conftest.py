"""What tests of faults share: runs that nothing happens to, imports, and numbers of bad inputs.

Of bad inputs the suite takes a few of each kind, and ``MMCROC_CAMPAIGN=N`` N of each, anew.
"""

import importlib
import os
import random

import pytest
from hypothesis import HealthCheck, settings

from mmcroc.registry import MODELS
from tests.support.bad_inputs import COUNTS
from tests.support.faults import train

#: What tools import, so that processes forked from this one need not.
IMPORTED = (
    'matplotlib.backends.backend_agg', 'matplotlib.figure', 'mmpretrain.datasets',
    'mmpretrain.models', 'mmseg.datasets', 'mmseg.models', 'mmcroc.training.launch',
    'mmcroc.evaluation.matrix',
)  # fmt: skip


@pytest.fixture(autouse=True, scope='session')
def imported():
    """What a model's name imports, too: what is imported first is written as bytecode."""
    for name in (*IMPORTED, *MODELS._locations):
        importlib.import_module(name)


@pytest.fixture(scope='session')
def straight(tmp_path_factory, imported):
    """Work dir of a training that nothing happened to."""
    folder = tmp_path_factory.mktemp('straight') / 'run'
    code, printed = train(folder)
    assert code == 0, printed
    return folder


@pytest.fixture
def chance(request):
    """Chance, seeded by the test's parameter ``seed``."""
    return random.Random(request.node.callspec.params['seed'])


COMMON = dict(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile('suite', derandomize=True, max_examples=12, **COMMON)
NUMBER = int(os.environ.get('MMCROC_CAMPAIGN', 0))
settings.register_profile('campaign', max_examples=NUMBER or 500, **COMMON)
settings.load_profile('campaign' if NUMBER else 'suite')


def pytest_terminal_summary(terminalreporter):
    """Tell how many inputs each reader was given, and how many it read."""
    if not NUMBER:
        return
    for reader, (given, read) in sorted(COUNTS.items()):
        terminalreporter.write_line(f'{reader}: {given} inputs, {read} read')
    terminalreporter.write_line(f'{sum(given for given, _ in COUNTS.values())} inputs in all')
