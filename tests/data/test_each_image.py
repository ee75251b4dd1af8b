"""The frame that tools go through images in."""

import errno
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest
import torch

from mmcroc.data.each_image import exit_in_words, for_each_image
from tests.support.jobs import halve, threads

JOBS = [(Path(f'{number}.png'), number) for number in range(4)]


@pytest.mark.parametrize('num_workers', [1, 2])
def test_what_failed_is_named_and_the_rest_is_done(num_workers, capsys):
    done, failed = for_each_image(JOBS, halve, num_workers)
    assert done == {JOBS[0]: 0, JOBS[2]: 1}
    assert failed == {
        JOBS[1]: '1.png: 1 is odd (ValueError)',
        JOBS[3]: '3.png: 3 is odd (ValueError)',
    }
    shown = capsys.readouterr().err
    assert 'failed: 3.png: 3 is odd (ValueError)' in shown and '4/4' in shown


def test_processes_do_not_fight_for_cores_with_threads(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '2')  # what torch would take, on any machine
    done, _ = for_each_image(JOBS[:2], threads, 2)
    assert set(done.values()) == {(1, 1)}


def raise_(error, *_):
    raise error


def test_a_message_that_names_its_image_is_left_as_it_is(capsys):
    error = OSError('cannot read 0.png')
    assert for_each_image(JOBS[:1], partial(raise_, error))[1] == {
        JOBS[0]: 'cannot read 0.png (OSError)'
    }


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (KeyboardInterrupt(), 'interrupted; all is kept'),
        (OSError(errno.ENOSPC, 'No space'), r'\[Errno 28\] No space; all is kept'),
        (torch.cuda.OutOfMemoryError('CUDA'), 'out of memory: lower --longer-side; all is kept'),
    ],
)
def test_what_no_image_would_survive_ends_the_work_in_words(error, said):
    with pytest.raises(SystemExit, match=said), exit_in_words('all is kept'):
        for_each_image(JOBS, partial(raise_, error))


def test_a_process_that_died_is_told_with_the_cure():
    said = 'fewer --num-workers; all is kept'
    with pytest.raises(SystemExit, match=said), exit_in_words('all is kept'):
        raise BrokenProcessPool


def test_an_error_of_the_program_stays_one():
    with pytest.raises(RuntimeError, match='a bug'), exit_in_words('all is kept'):
        raise RuntimeError('a bug')
