"""Importing mmcroc defines names and does nothing else."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT, TOOLS
from tests.support.processes import call

#: Prints what of other packages differs after an import of mmcroc (and of what argv names).
COMPARE = """
import importlib, json, sys
import mmengine, mmengine.config, mmengine.logging, mmengine.runner, numpy, torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner

def look():
    seen = {}
    for owner in (Config, CheckpointLoader, HistoryBuffer, Runner, numpy, torch,
                  torch.serialization, numpy.ndarray):
        for name, value in list(vars(owner).items()):
            seen[f'{owner.__name__}.{name}'] = id(value)
    seen['MODULE2PACKAGE'] = dict(MODULE2PACKAGE)
    seen['schemes'] = {key: id(value) for key, value in CheckpointLoader._schemes.items()}
    seen['safe globals'] = sorted(map(repr, torch.serialization.get_safe_globals()))
    return seen

before = look()
for name in sys.argv[1:]:
    importlib.import_module(name)
after = look()
print(json.dumps(sorted(key for key in before if before[key] != after.get(key))))
"""
#: Prints which heavy packages a tool has imported once it has said how it is used.
HELP = """
import json, runpy, sys
sys.path.insert(0, sys.argv[1].rpartition('/')[0])
tool = sys.argv.pop(1)
sys.argv = [tool, '--help']
try:
    runpy.run_path(tool, run_name='__main__')
except SystemExit as stop:
    assert stop.code == 0
heavy = {'torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'cv2', 'scipy', 'matplotlib', 'timm'}
print(json.dumps(sorted(heavy & set(sys.modules))))
"""
#: Tools that people call; benchmarks measure for a while anyway.
CALLED = [
    *TOOLS.glob('*.py'), *TOOLS.glob('model_converters/*.py'),
    *TOOLS.glob('dataset_converters/*_*.py'),
]  # fmt: skip


def python(*arguments):
    """Run Python on the repository; its last line of output, which is JSON."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def changed_by(*modules):
    """What an import of modules changes of other packages, which have been imported before."""
    done = call(sys.executable, '-c', COMPARE, *modules)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_changes_nothing_of_other_packages():
    assert changed_by('mmcroc') == []


def test_nor_do_the_modules_that_tools_start_with():
    modules = ['mmcroc.registry', 'mmcroc.training.launch', 'mmcroc.weights.checkpoint_file']
    assert changed_by(*modules) == []


def test_it_imports_nothing_heavy():
    """Nothing but what defers the rest."""
    code = (
        'import json, sys; before = {name.split(".")[0] for name in sys.modules}; import mmcroc; '
        'after = {name.split(".")[0] for name in sys.modules} - before; '
        'print(json.dumps(sorted(after - set(sys.stdlib_module_names))))'
    )
    assert python('-c', code) == ['lazy_loader', 'mmcroc']


@pytest.mark.parametrize('tool', CALLED, ids=lambda path: path.stem)
def test_a_tool_says_how_it_is_used_before_it_imports_anything_heavy(tool):
    assert python('-c', HELP, tool) == []
