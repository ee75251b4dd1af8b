"""The doctor: distributions, GPUs and memory are faked, modules hidden or broken."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest
import torch

from mmcroc import distributions, doctor
from mmcroc.doctor import NOTE, OK, PROBLEM, Finding
from tests.support.paths import ROOT

ONEDL = {
    'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6', 'onedl-mmsegmentation': '1.4.2',
}  # fmt: skip
Usage = namedtuple('Usage', 'total used free')


@pytest.fixture
def installed(monkeypatch):
    """What importlib.metadata would say is installed; change it in the test."""
    there = dict(ONEDL)
    monkeypatch.setattr(distributions, 'installed_version', there.get)
    return there


def statuses(check):
    return [finding.status for finding in check()]


def problems(check):
    return [finding for finding in check() if finding.status == PROBLEM]


def test_the_tested_distributions_are_fine(installed):
    assert statuses(doctor.check_mm_packages) == [OK] * 4


def test_a_clash_of_both_sources_is_a_problem_with_its_cure(installed):
    installed['mmcv'] = '2.1.0'
    first = problems(doctor.check_mm_packages)[0]
    assert first.text == 'mmcv: onedl-mmcv 2.3.6 and mmcv 2.1.0'
    assert 'pip uninstall onedl-mmcv mmcv' in first.advice


def test_packages_of_two_sources_are_a_problem(installed):
    del installed['onedl-mmengine']
    installed['mmengine'] = '0.10.7'
    (found,) = problems(doctor.check_mm_packages)
    assert 'some the original' in found.text


def test_a_missing_package_names_the_extras(installed):
    del installed['onedl-mmsegmentation']
    (found,) = problems(doctor.check_mm_packages)
    assert 'mmseg is not installed' in found.text
    assert '[onedl]' in found.advice and '[openmmlab]' in found.advice


def test_an_untested_version_is_noted_with_the_tested_range(installed):
    installed['onedl-mmpretrain'] = '1.9'
    (note,) = (f for f in doctor.check_mm_packages() if f.status == NOTE)
    assert 'onedl-mmpretrain 1.9' in note.text and '>=1.3.6,<1.4' in note.advice


def test_the_original_mmcv_needs_its_operators(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)
    for name, number in (('mmengine', '0.10.7'), ('mmcv', '2.1.0'), ('mmpretrain', '1.2.0'),
                         ('mmsegmentation', '1.2.2')):  # fmt: skip
        del installed[f'onedl-{name}']
        installed[name] = number
    (found,) = problems(doctor.check_mm_packages)
    assert 'compiled operators' in found.text


def test_other_programs_refuse_a_missing_package_by_both_extras(installed):
    del installed['onedl-mmsegmentation']
    with pytest.raises(ImportError, match=r'needs mmseg, .*mmcroc\[onedl\].*mmcroc\[openmmlab\]'):
        distributions.check_distributions()


def test_other_programs_warn_of_clashing_and_untested_packages(installed):
    installed.update({'mmcv': '2.1.0', 'onedl-mmengine': '0.11'})
    with pytest.warns(UserWarning) as warned:
        distributions.check_distributions()
    clash, untested = (str(warning.message) for warning in warned)
    assert clash.startswith('onedl-mmcv and mmcv are installed together')
    assert 'onedl-mmengine 0.11 (tested: >=0.10.12,<0.11)' in untested


@pytest.mark.parametrize(
    ('error', 'cure'),
    [
        ("No module named 'ftfy'", 'pip install ftfy'),
        ("No module named 'pkg_resources'", 'setuptools<82'),
        ('numpy.core.multiarray failed to import', 'numpy<2'),
        ('libGL.so.1: cannot open shared object file', 'headless'),
        ('operator torchvision::nms does not exist', 'in one command'),
        ('something new', 'Reinstall'),
    ],
)
def test_a_package_that_cannot_be_imported_comes_with_a_cure(installed, monkeypatch, error, cure):
    def broken(name):
        raise ImportError(error)

    monkeypatch.setattr(importlib, 'import_module', broken)
    for check, count in ((doctor.check_mm_packages, 4), (doctor.check_libraries, 3)):
        findings = problems(check)
        assert len(findings) == count
        assert all(error in f.text and cure in f.advice for f in findings)


@pytest.mark.parametrize(
    ('version', 'status'), [((3, 9), PROBLEM), ((3, 10), OK), ((3, 13), OK), ((3, 14), NOTE)]
)
def test_pythons_version(monkeypatch, version, status):
    monkeypatch.setattr(doctor.sys, 'version_info', version)
    assert statuses(doctor.check_python) == [status]


def test_requirements_are_those_of_the_metadata(monkeypatch):
    wanted = ['torch>=2.4', 'absent', 'higra>=99; extra == "regions"', 'numpy; extra == "all"',
              'mmengine; extra == "openmmlab"']  # fmt: skip
    numbers = {'torch': '2.9.0+cpu', 'higra': '0.6', 'numpy': '2.2'}
    monkeypatch.setattr(doctor.metadata, 'requires', lambda name: wanted)
    monkeypatch.setattr(distributions, 'installed_version', numbers.get)
    base, everything, regions = doctor.check_requirements()
    assert (base.status, base.text) == (PROBLEM, 'requirements: absent (missing)')
    assert everything.status == OK
    assert (regions.status, regions.text) == (NOTE, 'extra regions: higra>=99 (0.6)')
    assert '.[regions]' in regions.advice


@pytest.mark.parametrize(('driver', 'status'), [(None, NOTE), ('/bin/nvidia-smi', PROBLEM)])
def test_no_gpu_is_a_note_and_one_out_of_reach_a_problem(monkeypatch, driver, status):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(shutil, 'which', lambda name: driver)
    assert statuses(doctor.check_gpus) == [status]


def test_a_gpu_that_does_not_compute_is_a_problem(monkeypatch):
    def fail(index):
        raise RuntimeError('CUDA error: no kernel image is available\nmore')

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'Old')
    monkeypatch.setattr(torch.cuda, 'mem_get_info', fail)
    (finding,) = problems(doctor.check_gpus)
    assert finding.text.endswith('no kernel image is available')


def test_little_shared_memory_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, 'SHARED_MEMORY', str(tmp_path))
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 64 * 2**20))
    assert statuses(doctor.check_shared_memory) == [NOTE]


def test_here_the_registry_and_mmsegmentations_configs_work():
    findings = list(doctor.check_itself())
    assert {finding.status for finding in findings} == {OK}
    assert any('gives EncoderDecoder' in finding.text for finding in findings)


def test_a_check_that_fails_is_a_problem_and_the_others_still_run():
    def broken():
        raise KeyError('what')
        yield

    first, second = doctor.examine([broken, doctor.check_python])
    assert first.status == PROBLEM and "KeyError: 'what'" in first.text
    assert second.text.startswith('Python')


def test_the_exit_status_tells_a_problem_from_a_note(monkeypatch, capsys):
    for found, code in (([OK, NOTE], 0), ([OK, PROBLEM], 1)):
        findings = [Finding(status, 'text', 'advice') for status in found]
        monkeypatch.setattr(doctor, 'examine', lambda findings=findings: findings)
        with pytest.raises(SystemExit) as stop:
            doctor.main([])
        assert stop.value.code == code
    assert capsys.readouterr().out.count('advice') == 4


@pytest.mark.parametrize(
    ('modules', 'source', 'said'),
    [
        # torchvision's too, which takes as long as all others to import.
        ('mmengine torchvision', 'raise ImportError("not whole")',
         r'^problem  mmengine: .*cannot be imported: .*not whole'),
        ('torch', 'raise OSError("libcudart.so: cannot open")',
         r'^problem  torch cannot be imported: OSError: libcudart.so'),
    ],
)  # fmt: skip
def test_it_runs_where_a_package_is_broken(tmp_path, modules, source, said):
    for module in modules.split():
        (tmp_path / f'{module}.py').write_text(source)
    done = subprocess.run(
        [sys.executable, '-m', 'mmcroc.doctor'], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert re.search(said, done.stdout, re.MULTILINE)
    assert 'Traceback' not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[1] == 'problems,'
