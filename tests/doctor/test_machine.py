"""The doctor on the machine: GPUs, threads and places are faked."""

import shutil
from collections import namedtuple

import pytest
import torch

from mmcroc.doctor import machine, places, self_test
from mmcroc.doctor.__main__ import main
from mmcroc.doctor.examination import examine
from mmcroc.doctor.finding import NOTE, OK, PROBLEM

Usage = namedtuple('Usage', 'total used free')


def only(findings):
    (finding,) = findings
    return finding


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def test_no_gpu_is_a_note(no_gpu, monkeypatch):
    monkeypatch.setattr(machine, 'nvidia_smi', lambda: None)
    assert only(machine.check_gpu()).status == NOTE


@pytest.mark.parametrize(
    ('cuda', 'words'), [(None, 'built for the CPU'), ('13.2', 'does not reach')]
)
def test_a_gpu_out_of_reach_is_a_problem(no_gpu, monkeypatch, cuda, words):
    monkeypatch.setattr(machine, 'nvidia_smi', lambda: 'NVIDIA H200, 550.1')
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    finding = only(machine.check_gpu())
    assert finding.status == PROBLEM and words in finding.text and 'H200' in finding.text


def test_a_gpu_that_does_not_compute_is_a_problem(monkeypatch):
    def fail(index):
        raise RuntimeError('CUDA error: no kernel image is available\nmore')

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, 'version', lambda: 91000)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda index: 'Old')
    monkeypatch.setattr(torch.cuda, 'mem_get_info', fail)
    _, finding = machine.check_gpu()
    assert finding.status == PROBLEM and finding.text.endswith('no kernel image is available')


@pytest.mark.parametrize(
    ('threads', 'cores', 'setting', 'status'),
    [(2, 2, None, OK), (8, 2, None, NOTE), (1, 8, '1', NOTE), (4, 8, None, OK)],
)
def test_threads_are_held_against_cores(monkeypatch, threads, cores, setting, status):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    monkeypatch.setattr(machine, 'cores', lambda: cores)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if setting:
        monkeypatch.setenv('OMP_NUM_THREADS', setting)
    assert only(machine.check_threads()).status == status


def test_little_shared_memory_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, 'SHARED_MEMORY', str(tmp_path))
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 64 * 2**20))
    finding = only(machine.check_shared_memory())
    assert finding.status == NOTE and '--shm-size' in finding.advice


def test_a_folder_without_permission_is_a_problem_that_names_it(monkeypatch, tmp_path):
    monkeypatch.setattr(places, 'can_write', lambda folder: folder != tmp_path)
    monkeypatch.setattr(
        places,
        'places',
        lambda: [
            (tmp_path / 'new' / 'deep', 'logs', 'give --work-dir', PROBLEM),
            ('/', 'other', '', NOTE),
        ],
    )
    first, second = places.check_places()
    assert first.status == PROBLEM and str(tmp_path) in first.text and '--work-dir' in first.advice
    assert second.status in (OK, NOTE)


def test_a_full_disk_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setattr(places, 'places', lambda: [(tmp_path, 'logs', 'give --work-dir', PROBLEM)])
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 2**30))
    assert only(places.check_places()).status == NOTE


def test_it_really_writes(tmp_path):
    assert places.can_write(tmp_path)
    assert not places.can_write(tmp_path / 'missing')


def test_here_the_registry_and_mmsegmentations_configs_work():
    assert [finding.status for finding in self_test.check_registry()] == [OK]
    findings = list(self_test.check_config_inheritance())
    assert PROBLEM not in {finding.status for finding in findings}
    assert any('gives EncoderDecoder' in finding.text for finding in findings)


def test_a_check_that_fails_is_a_problem_and_the_others_still_run():
    def broken():
        raise KeyError('what')
        yield

    first, *others = examine([broken, machine.check_threads])
    assert first.status == PROBLEM and "KeyError: 'what'" in first.text
    assert len(others) == 1


def test_the_exit_status_tells_a_problem_from_a_note(monkeypatch, capsys):
    from mmcroc.doctor import __main__
    from mmcroc.doctor.finding import Finding

    for statuses, code in (([OK, NOTE], 0), ([OK, PROBLEM], 1)):
        findings = [Finding(status, 'text', 'advice') for status in statuses]
        monkeypatch.setattr(__main__, 'examine', lambda findings=findings: findings)
        with pytest.raises(SystemExit) as stop:
            main([])
        assert stop.value.code == code
    assert capsys.readouterr().out.count('advice') == 4
