"""Trainings that end in the middle: what is left is whole, and --resume is the same run."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from mmcroc.atomic_file import UNFINISHED
from mmcroc.weights.checkpoint_file import read_file
from tests.support.faults import STAGES, same_state, start, state_of, train

#: The first is in the suite; the others are the campaign's.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(1, 10))]
WORKER = 'train_dataloader.num_workers=1'
KEEP_ONE = 'default_hooks.checkpoint.max_keep_ckpts=1'


def last_line(printed):
    return printed.strip().splitlines()[-1]


def assert_resumes(work_dir, straight, *options):
    """All checkpoints can be read, and the run goes on to the end of the one without a fault."""
    for path in Path(work_dir).glob('*.pth'):
        read_file(str(path))
    code, printed = train(work_dir, *options, resume=True)
    assert code == 0, printed
    assert same_state(state_of(work_dir), state_of(straight))
    assert not list(Path(work_dir).glob(f'.*{UNFINISHED}'))
    return printed


@pytest.mark.parametrize('seed', SEEDS)
def test_a_run_killed_at_any_moment_resumes_bit_for_bit(straight, tmp_path, seed, chance):
    moment = [chance.randint(0, 4), round(chance.uniform(0, 0.1), 3)]
    assert train(tmp_path / 'run', kill_at=moment)[0] == -9
    assert_resumes(tmp_path / 'run', straight)


@pytest.mark.parametrize('seed', SEEDS)
def test_a_run_killed_while_a_checkpoint_is_written_resumes_bit_for_bit(
    straight, tmp_path, seed, chance
):
    """Of checkpoints of which one alone is kept: that one is never missing."""
    moment = [chance.randint(2, 5), chance.choice(STAGES)]
    assert train(tmp_path / 'run', KEEP_ONE, in_write=moment)[0] == -9
    assert list((tmp_path / 'run').glob('iter_*.pth'))
    assert_resumes(tmp_path / 'run', straight, KEEP_ONE)


@pytest.mark.parametrize(
    'fault',
    [
        dict(signal_at=3),
        pytest.param(dict(signal_group_at=3), marks=pytest.mark.campaign),
        pytest.param(dict(signal_at=2), marks=pytest.mark.campaign),
    ],
    ids=['alone', 'with its workers', "at an epoch's end"],
)
def test_sigterm_has_a_checkpoint_written_and_asks_for_another_start(straight, tmp_path, fault):
    work_dir = tmp_path / 'run'
    never = 'default_hooks.checkpoint.interval=100'
    workers = [WORKER] if 'signal_group_at' in fault else []
    code, printed = train(work_dir, never, *workers, **fault)
    done = next(iter(fault.values())) + 1
    assert code == 75, printed
    assert f'interrupted.pth is written after iteration {done}; --resume' in last_line(printed)
    assert [path.name for path in work_dir.glob('*.pth')] == ['interrupted.pth']
    printed = assert_resumes(work_dir, straight)
    assert f'iter: {done}' in printed
    assert not (work_dir / 'interrupted.pth').exists(), 'newer ones take its place'


def test_a_full_disk_ends_a_run_in_a_sentence_and_leaves_what_was_there(straight, tmp_path):
    code, printed = train(tmp_path / 'run', full_at=3)
    assert code == 1 and 'Traceback' not in printed
    assert last_line(printed) == (
        f"[Errno 28] No space left on device: '{tmp_path}/run/iter_4.pth': make room on the disk; "
        f'--resume goes on from {tmp_path}/run/iter_3.pth'
    )
    assert_resumes(tmp_path / 'run', straight)


@pytest.fixture
def mounted(tmp_path):
    """Mount a file system of few KiB in memory, read-only or not; needs the right to."""
    folder = tmp_path / 'mounted'
    folder.mkdir()

    def mount(options):
        command = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)]
        assert subprocess.run(command, check=False).returncode == 0, 'run the campaign as root'
        return folder

    yield mount
    subprocess.run(['umount', str(folder)], check=False)


@pytest.mark.campaign
def test_a_disk_that_runs_full_keeps_the_checkpoints_that_it_holds(straight, tmp_path, mounted):
    folder = mounted('size=1200k')
    code, printed = train(folder)
    assert code == 1 and 'No space left on device' in last_line(printed), printed
    shutil.copytree(folder, tmp_path / 'run')
    assert list((tmp_path / 'run').glob('iter_*.pth'))
    assert_resumes(tmp_path / 'run', straight)


@pytest.mark.campaign
def test_a_read_only_work_dir_is_refused_at_once(mounted):
    folder = mounted('ro')
    code, printed = train(folder)
    assert code == 1 and 'Traceback' not in printed
    assert 'Read-only file system' in last_line(printed)


def test_a_work_dir_that_is_a_file_is_refused_at_once(tmp_path):
    (tmp_path / 'run').touch()
    code, printed = train(tmp_path / 'run')
    assert code == 1 and 'Traceback' not in printed
    assert f"File exists: '{tmp_path}/run'" in last_line(printed)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    """Change one bit in the middle, which is of a weight: torch reads it as it is."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(bytes(content))


def copy_of(straight, folder):
    shutil.copytree(straight, folder / 'run')
    (folder / 'run' / 'last_checkpoint').write_text(str(folder / 'run' / 'iter_6.pth'))
    return folder / 'run'


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_taken(straight, tmp_path):
    work_dir = copy_of(straight, tmp_path)
    truncate(work_dir / 'iter_6.pth')
    flip(work_dir / 'iter_5.pth')
    code, printed = train(work_dir, resume=True)
    assert code == 0, printed
    for damaged in ('iter_6.pth', 'iter_5.pth'):
        assert f'Resume: {work_dir / damaged} cannot be read: truncated or damaged' in printed
    assert f'Resume: {work_dir / "iter_4.pth"} is taken instead' in printed
    assert 'iter: 4' in printed
    assert same_state(state_of(work_dir), state_of(straight))


def test_a_run_without_one_sound_checkpoint_is_refused(straight, tmp_path):
    work_dir = copy_of(straight, tmp_path)
    for path in work_dir.glob('iter_*.pth'):
        flip(path)
    code, printed = train(work_dir, resume=True)
    assert code == 1 and f'no checkpoint of {work_dir} can be read' in last_line(printed)


def test_a_killed_data_worker_ends_the_run_in_a_sentence(tmp_path):
    # Asked for one batch at a time, it cannot have read all of the epoch.
    one = 'train_dataloader.prefetch_factor=1'
    code, printed = train(tmp_path / 'run', WORKER, one, kill_worker_at=3)
    # No traceback ends it. (One is within where torch told of it amidst logging, which goes on.)
    assert code == 1, printed
    assert last_line(printed).startswith('DataLoader worker')
    # What had been read before it was killed may still be trained on.
    cure = f'lower train_dataloader.num_workers; --resume goes on from {tmp_path}/run/iter_'
    assert re.search(re.escape(cure) + r'[3-5]\.pth$', last_line(printed))


def test_a_second_run_in_a_work_dir_is_refused_and_changes_nothing(straight, tmp_path):
    work_dir, hold = tmp_path / 'run', tmp_path / 'hold'
    first = start(work_dir, hold=hold)
    while not hold.exists():
        time.sleep(0.02)
    before = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')}
    code, printed = train(work_dir, 'optim_wrapper.optimizer.lr=1')
    after = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*')}
    hold.unlink()
    assert code == 1 and before == after
    assert f'{work_dir} is being written to by process {first.pid} on ' in last_line(printed)
    assert first.end()[0] == 0
    assert same_state(state_of(work_dir), state_of(straight))
