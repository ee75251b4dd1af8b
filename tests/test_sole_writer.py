"""Folders that one process at a time writes to."""

import multiprocessing
import os
import signal
import time

import pytest

from mmcroc.atomic_file import atomic_file, atomic_folder
from mmcroc.sole_writer import sole_writer

FORK = multiprocessing.get_context('fork')


def hold(folder, ready, child=None):
    with sole_writer(folder):
        if child is not None:  # as a data worker, which outlives a killed process for a while
            worker = FORK.Process(target=time.sleep, args=(30,))
            worker.start()
            child.value = worker.pid
        ready.set()
        time.sleep(30)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder, with a child."""
    ready, child = FORK.Event(), FORK.Value('i')
    process = FORK.Process(target=hold, args=(tmp_path, ready, child))
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()
    os.kill(child.value, signal.SIGKILL)


def test_a_second_process_is_refused_by_the_first_ones_name(holder, tmp_path):
    with (
        pytest.raises(OSError, match=f'is being written to by process {holder.pid} on '),
        sole_writer(tmp_path),
    ):
        raise AssertionError


def test_a_killed_process_lets_go_though_its_children_live(holder, tmp_path):
    holder.kill()
    holder.join()
    with sole_writer(tmp_path):
        pass


def test_who_waits_gets_the_folder_once_it_is_free(holder, tmp_path):
    began = time.monotonic()
    os.kill(holder.pid, signal.SIGSTOP)
    FORK.Process(target=kill_later, args=(holder.pid,)).start()
    with sole_writer(tmp_path, wait=True):
        assert time.monotonic() - began > 0.2


def kill_later(pid):
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)


def write_forever(folder):
    with atomic_folder(folder / 'deep/results') as half, atomic_file(folder / 'x.pth') as file:
        file.write(b'half')
        (half / 'one').touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_left_unfinished_is_deleted(tmp_path):
    (tmp_path / '.mine').touch()
    process = FORK.Process(target=write_forever, args=(tmp_path,))
    process.start()
    process.join()
    with sole_writer(tmp_path, [tmp_path / 'deep']):
        left = {path.name for path in tmp_path.rglob('*')}
    assert left == {'.mine', '.writer', 'deep'}
