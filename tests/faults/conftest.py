"""What tests of faults share: runs that nothing happens to, and what is imported once for all."""

import importlib
import random

import pytest

from tests.support.faults import train

#: What tools import, so that processes forked from this one need not.
IMPORTED = (
    'matplotlib.backends.backend_agg', 'matplotlib.figure', 'mmpretrain.datasets',
    'mmpretrain.models', 'mmseg.datasets', 'mmseg.models', 'mmcroc.training.launch',
    'mmcroc.evaluation.matrix', 'mmcroc.registry',
)  # fmt: skip


@pytest.fixture(autouse=True, scope='session')
def imported():
    for name in IMPORTED:
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
