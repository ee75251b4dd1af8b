"""What goes wrong in a training: a hook that brings it about, and commands that are run with it."""

import errno
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import HOOKS

from tests.support.paths import ROOT, TOOLS

TINY = ROOT / 'tests/faults/tiny_croc.py'
FOLDER = ROOT / 'tests/faults/tiny_croc_folder.py'
#: How far a file that is whole or absent may have come when the process is killed.
STAGES = ('empty', 'written', 'synced', 'renamed')


@HOOKS.register_module()
class Fault(Hook):
    """Bring about what the arguments name, counted in iterations from 0.

    Args:
        kill_at: Iteration, and seconds from its start until the process is killed (-9).
        in_write: Arguments of :func:`kill_in_write`.
        signal_at: Iteration in which this process gets SIGTERM.
        signal_group_at: Iteration in which this process and its data workers get SIGTERM.
        full_at: Iteration from which on the disk is full.
        kill_worker_at: Iteration in which a data worker is killed.
        delete_at: Iteration in which ``files`` are deleted.
        change_at: Iteration in which ``files`` are overwritten by text.
        files: Paths.
        nan_at: Iteration in which one gradient is NaN.
        rank: The rank that the next two are about.
        kill_rank_at: Iteration in which the rank is killed.
        stall_rank_at: Iteration in which the rank is stopped.
        hold: File that the process makes at its first iteration, then waits until it is gone.
    """

    priority = 'VERY_HIGH'

    def __init__(self, kill_at=None, in_write=None, files=(), rank=1, hold=None, **at):
        self.files, self.rank, self.hold, self.killed = files, rank, hold, bool(kill_at)
        self.at = {iteration: getattr(self, name) for name, iteration in at.items()}
        if kill_at:
            self.at[kill_at[0]] = lambda runner: kill_in(kill_at[1])
        if in_write:
            kill_in_write(*in_write)

    def before_train(self, runner):
        if self.hold:
            Path(self.hold).touch()
            while Path(self.hold).exists():
                time.sleep(0.02)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter in self.at:
            self.at[runner.iter](runner)
        if self.killed and runner.iter + 1 == runner.max_iters:
            time.sleep(60)  # a quick machine would be done before

    def signal_at(self, runner):
        os.kill(os.getpid(), signal.SIGTERM)

    def signal_group_at(self, runner):
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    def full_at(self, runner):
        def fsync(handle):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.fsync = fsync

    def kill_worker_at(self, runner):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    def delete_at(self, runner):
        for file in self.files:
            os.unlink(file)

    def change_at(self, runner):
        for file in self.files:
            Path(file).write_text('no image')

    def nan_at(self, runner):
        parameters = [p for p in runner.model.parameters() if p.requires_grad]
        handle = parameters[0].register_hook(lambda gradient: gradient * torch.nan)
        step = runner.optim_wrapper.step

        def once(**kwargs):
            step(**kwargs)
            handle.remove()
            del runner.optim_wrapper.step

        runner.optim_wrapper.step = once

    def kill_rank_at(self, runner):
        if get_rank() == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)

    def stall_rank_at(self, runner):
        if get_rank() == self.rank:
            os.kill(os.getpid(), signal.SIGSTOP)


def kill_in(seconds):
    """Kill this process (-9) in so many seconds."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()


def kill_in_write(number, stage):
    """Kill this process (-9) as it writes its file of a number, from 1, at one of ``STAGES``."""
    mkstemp, fsync, replace, begun = tempfile.mkstemp, os.fsync, os.replace, []

    def reach(now):
        if len(begun) == number and STAGES[now] == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_mkstemp(*args, **kwargs):
        begun.append(number)
        made = mkstemp(*args, **kwargs)
        reach(0)
        return made

    def watched_fsync(handle):
        reach(1)
        fsync(handle)
        reach(2)

    def watched_replace(source, target):
        replace(source, target)
        reach(3)

    tempfile.mkstemp, os.fsync, os.replace = counted_mkstemp, watched_fsync, watched_replace


class Forked:
    """A tool as users call it, in a process forked from this one, which has imported all.

    Args:
        tool: Name of the tool, without its suffix.
        *words: Its arguments.
        folder: Where what it prints is kept.
        env: More environment variables.
        prepare: Called in the process before the tool begins.
    """

    def __init__(self, tool, *words, folder, env=(), prepare=None):
        self.printed = Path(tempfile.mkstemp(dir=folder, suffix='.txt')[1])
        self.process = get_context('fork').Process(
            target=_run, args=(tool, list(map(str, words)), self.printed, dict(env), prepare)
        )
        self.process.start()
        self.pid = self.process.pid

    def end(self, seconds=300):
        """Wait for its end: its exit code (-9: killed), and what it printed."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f'no end after {seconds} s:\n{self.printed.read_text()}')
        return self.process.exitcode, self.printed.read_text()


def _run(tool, words, printed, env, prepare):
    for number in (1, 2):
        os.dup2(os.open(printed, os.O_WRONLY | os.O_APPEND), number)
    os.environ.update(env)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1) for number in (1, 2))
    for manager in (MMLogger, MessageHub):  # those of tests before it
        manager._instance_dict.clear()
    gc.freeze()  # as a new process, it has nothing to collect
    torch.set_num_threads(1)
    if prepare:
        prepare()
    sys.argv = [str(TOOLS / f'{tool}.py'), *words]
    runpy.run_path(sys.argv[0], run_name='__main__')


def start(work_dir, *options, resume=False, images=None, env=(), words=(), **faults):
    """Start tools/train.py on the tiny config, or that of a folder; gives the running process."""
    settings = [f'custom_hooks.0.{name}={value}'.replace(' ', '') for name, value in faults.items()]
    settings = ['--cfg-options', *settings, *options] if settings or options else []
    resumed = ['--resume'] if resume is True else ['--resume', resume] if resume else []
    config = [TINY] if images is None else [FOLDER, '--data-root', images]
    return Forked(
        'train', *config, '--work-dir', work_dir, *resumed, *words, *settings,
        folder=Path(work_dir).parent, env=env,
    )  # fmt: skip


def train(work_dir, *options, **arguments):
    """Run tools/train.py on the tiny config: its exit code, and what it printed."""
    return start(work_dir, *options, **arguments).end()


def state_of(work_dir, name='iter_6.pth'):
    """All tensors of a checkpoint, by where they are in it."""
    checkpoint = torch.load(Path(work_dir, name), weights_only=False)
    found = {}

    def gather(place, value):
        if torch.is_tensor(value):
            found[place] = value
        elif isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in items:
                gather(f'{place}.{key}', inner)

    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        gather(part, checkpoint[part])
    return found


def same_state(one, other):
    """Whether two of :func:`state_of` are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
