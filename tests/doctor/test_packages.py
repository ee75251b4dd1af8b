"""The doctor on what is installed: distributions are faked, modules hidden or broken."""

import importlib
import os
import re
import subprocess
import sys
import types

import pytest

from mmcroc import distributions
from mmcroc.doctor import packages
from mmcroc.doctor.finding import NOTE, OK, PROBLEM
from tests.support.paths import ROOT

ONEDL = {
    'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6', 'onedl-mmsegmentation': '1.4.2',
}  # fmt: skip


@pytest.fixture
def installed(monkeypatch):
    """What importlib.metadata would say is installed; change it in the test."""
    there = dict(ONEDL)
    monkeypatch.setattr(distributions, 'installed_version', there.get)
    return there


def statuses(check):
    return [finding.status for finding in check()]


def the_problem(check):
    (finding,) = (finding for finding in check() if finding.status == PROBLEM)
    return finding


def test_the_tested_distributions_are_fine(installed):
    assert statuses(packages.check_mm_packages) == [OK] * 4


def test_a_clash_of_both_sources_is_a_problem_with_its_cure(installed):
    installed['mmcv'] = '2.1.0'
    first = next(f for f in packages.check_mm_packages() if f.status == PROBLEM)
    assert first.text == 'mmcv: onedl-mmcv 2.3.6 and mmcv 2.1.0'
    assert 'pip uninstall onedl-mmcv mmcv' in first.advice


def test_packages_of_two_sources_are_a_problem(installed):
    del installed['onedl-mmengine']
    installed['mmengine'] = '0.10.7'
    assert 'some the original' in the_problem(packages.check_mm_packages).text


def test_a_missing_package_names_the_extras(installed):
    del installed['onedl-mmsegmentation']
    found = the_problem(packages.check_mm_packages)
    assert 'mmseg is not installed' in found.text
    assert '[onedl]' in found.advice and '[openmmlab]' in found.advice


def test_an_untested_version_is_noted_with_the_tested_range(installed):
    installed['onedl-mmpretrain'] = '1.9'
    (note,) = (f for f in packages.check_mm_packages() if f.status == NOTE)
    assert 'onedl-mmpretrain 1.9' in note.text and '>=1.3.6,<1.4' in note.advice


@pytest.mark.parametrize(
    ('error', 'cure'),
    [
        ("No module named 'ftfy'", 'pip install ftfy'),
        ("No module named 'pkg_resources'", 'setuptools<82'),
        ('numpy.core.multiarray failed to import', 'numpy<2'),
        ('libGL.so.1: cannot open shared object file', 'headless'),
        ('something new', 'Reinstall'),
    ],
)
def test_a_package_that_cannot_be_imported_comes_with_a_cure(installed, monkeypatch, error, cure):
    def broken(name):
        raise ImportError(error)

    monkeypatch.setattr(packages.importlib, 'import_module', broken)
    findings = list(packages.check_mm_packages())
    assert [f.status for f in findings] == [PROBLEM] * 4
    assert all(error in f.text and cure in f.advice for f in findings)


def test_missing_operators_are_a_note_for_onedl_and_a_problem_for_the_original(
    installed, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    assert statuses(packages.check_mmcv_ops) == [NOTE]
    installed['mmcv'] = '2.1.0'
    del installed['onedl-mmcv']
    assert 'MMCV_WITH_OPS' in the_problem(packages.check_mmcv_ops).advice
    monkeypatch.setitem(sys.modules, 'mmcv._ext', types.ModuleType('mmcv._ext'))
    assert statuses(packages.check_mmcv_ops) == [OK]


def test_an_old_torch_and_a_broken_torchvision_are_problems(monkeypatch):
    import torch

    monkeypatch.setattr(torch, '__version__', '2.3.1')
    real = importlib.import_module

    def import_module(name):
        if name == 'torchvision':
            raise RuntimeError('operator torchvision::nms does not exist')
        return real(name)

    monkeypatch.setattr(packages.importlib, 'import_module', import_module)
    old, vision, timm = packages.check_torch()
    assert (old.status, vision.status, timm.status) == (PROBLEM, PROBLEM, OK)
    assert 'torchvision::nms' in vision.text and 'one command' in vision.advice


@pytest.mark.parametrize(
    ('version', 'status'), [((3, 9), PROBLEM), ((3, 10), OK), ((3, 13), OK), ((3, 14), NOTE)]
)
def test_pythons_version(monkeypatch, version, status):
    monkeypatch.setattr(packages.sys, 'version_info', version)
    assert statuses(packages.check_python) == [status]


def test_every_extra_of_setup_py_is_explained():
    text = (ROOT / 'setup.py').read_text().split('extras_require')[1]
    extras = set(re.findall(r"^        '([\w-]+)':", text, re.MULTILINE))
    assert {'onedl', 'openmmlab', 'tests', 'docs'} <= extras
    assert extras - {'onedl', 'openmmlab'} <= set(packages.EXTRAS)


def test_a_missing_extra_is_noted_with_its_install_line(monkeypatch):
    monkeypatch.setattr(packages, 'is_there', lambda module: module not in ('higra', 'wandb'))
    notes = [f for f in packages.check_extras() if f.status == NOTE]
    assert [f.text for f in notes] == ['extra oversegmentation: higra missing']
    assert '.[oversegmentation]' in notes[0].advice


def run_with(tmp_path, **modules):
    """The doctor in a process that finds these modules before the installed ones."""
    for name, source in modules.items():
        (tmp_path / f'{name}.py').write_text(source)
    return subprocess.run(
        [sys.executable, '-m', 'mmcroc.doctor'], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}, timeout=300,
    )  # fmt: skip


def test_it_runs_and_exits_with_1_where_mmengine_is_broken(tmp_path):
    done = run_with(tmp_path, mmengine='raise ImportError("not whole")')
    assert done.returncode == 1, done.stderr
    assert re.search(r'^problem  mmengine: .*cannot be imported: .*not whole', done.stdout, re.M)
    assert 'does not start' in done.stdout  # mmcroc
    assert 'Traceback' not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[1] == 'problems,'


def test_it_runs_where_torch_is_broken(tmp_path):
    done = run_with(tmp_path, torch='raise OSError("libcudart.so: cannot open")')
    assert done.returncode == 1, done.stderr
    assert 'problem  torch cannot be imported: OSError: libcudart.so' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_other_programs_are_still_told_that_mmengine_is_missing(tmp_path):
    (tmp_path / 'mmengine.py').write_text('raise ImportError("not whole")')
    done = subprocess.run(
        [sys.executable, '-c', 'import mmcroc'], capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'},
    )  # fmt: skip
    assert done.returncode == 1 and 'not whole' in done.stderr
