"""Commands as users call them, and ranks, in processes of their own, forked from the server."""

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing

from tests.support import fork_server
from tests.support.paths import CONFIGS, ROOT, TOOLS


def _become(words, env, cwd, streams):
    """Do in this process what ``python words`` does with that environment in that folder."""
    assert 'mmcroc' not in sys.modules, 'which mmcroc is imported is for the command to say'
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    paths = [''] if words[0] in ('-c', '-m') else [os.path.dirname(words[0])]
    paths += env['PYTHONPATH'].split(os.pathsep)
    ours = {'', str(ROOT), *os.environ.get('PYTHONPATH', '').split(os.pathsep)}
    sys.path[:] = paths + [path for path in sys.path if path not in ours]
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if words[0] == '-c':
        sys.argv = ['-c', *words[2:]]
        exec(words[1], {'__name__': '__main__'})
    elif words[0] == '-m':
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name='__main__')


def call(*command, cwd=ROOT, **env):
    """Run a command in a folder, on one thread; gives the finished process."""
    words = [str(part) for part in command]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env}
    if words[0] != sys.executable:
        return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    with tempfile.TemporaryDirectory() as folder:
        streams = [f'{folder}/{name}' for name in ('stdout', 'stderr')]
        code = fork_server.ask(_become, words[1:], env, cwd, streams)
        printed = [Path(stream).read_text() for stream in streams]
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
