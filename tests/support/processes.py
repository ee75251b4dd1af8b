"""Commands as users call them, and ranks, in processes of their own, forked from the server."""

import os
import subprocess
import sys
import tempfile

import torch
from torch import distributed as dist
from torch import multiprocessing

from tests.support import fork_server
from tests.support.paths import CONFIGS, ROOT, TOOLS


def call(*command, cwd=ROOT, **env):
    """Run a command in a folder, on one thread; gives the finished process."""
    words = [str(part) for part in command]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env}
    if words[0] != sys.executable:
        return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile('w+') as out,
        tempfile.TemporaryFile('w+') as err,
    ):
        code = fork_server.ask(fork_server.become, words[1:], env, cwd, streams=(nothing, out, err))
        printed = [stream.seek(0) or stream.read() for stream in (out, err)]
    return subprocess.CompletedProcess(words, code, *printed)


def train(config, *options):
    """Run tools/train.py on one of our configs; gives the finished process."""
    return call(sys.executable, TOOLS / 'train.py', CONFIGS / config, *options)


def _rank_main(rank, function, folder):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    torch.save(function(rank, folder), folder / f'rank{rank}.pth')
    dist.destroy_process_group()


def _start_ranks(*args):
    multiprocessing.start_processes(_rank_main, args, nprocs=2, start_method='fork')


def on_two_ranks(function, folder):
    """Call a function on two ranks.

    Args:
        function: Called with the rank and the folder, of a module that can be imported.
        folder: A path, where the ranks meet and leave what the function returns.

    Returns:
        What it returned on the first rank and on the second: tensors and plain values.
    """
    code = fork_server.ask(_start_ranks, function, folder)
    assert code == 0, 'a rank failed: its traceback is in the captured standard error'
    return [torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in (0, 1)]
