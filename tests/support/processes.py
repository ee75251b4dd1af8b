"""Commands as users call them, and ranks, in processes of their own.

To import torch and the mm packages takes longer than most of them do. So one process imports those,
and nothing of mmcroc, when it is first needed, and each new Python process is forked from it.
"""

import gc
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver, get_context
from pathlib import Path
from unittest import mock

import torch
from torch import distributed as dist
from torch import multiprocessing

from tests.support.paths import CONFIGS, ROOT, TOOLS

IMPORTED = [
    'mmpretrain.datasets', 'mmpretrain.models', 'mmseg.datasets', 'mmseg.models',
    # What MMEngine imports for a run's log and pictures.
    'matplotlib.backends.backend_agg', 'matplotlib.figure', 'setuptools', 'yapf.yapflib.yapf_api',
    # What several wings import.
    'scipy.ndimage', 'scipy.optimize', 'scipy.sparse.csgraph',
]  # fmt: skip


def _serve():
    """Start the process to fork from, on one thread, unless it runs already."""
    forkserver.set_forkserver_preload(IMPORTED)
    with mock.patch.dict(os.environ, OMP_NUM_THREADS='1'):
        forkserver.ensure_running()


def _become(words, env, cwd, streams):
    """Do in this process what ``python words`` does with that environment in that folder."""
    assert 'mmcroc' not in sys.modules, 'which mmcroc is imported is for the command to say'
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    gc.freeze()  # as a new process, it has nothing to collect
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
    _serve()
    with tempfile.TemporaryDirectory() as folder:
        streams = [f'{folder}/{name}' for name in ('stdout', 'stderr')]
        process = get_context('forkserver').Process(
            target=_become, args=(words[1:], env, cwd, streams)
        )
        process.start()
        process.join()
        printed = [Path(stream).read_text() for stream in streams]
    return subprocess.CompletedProcess(words, process.exitcode, *printed)


def train(config, *options):
    """Run tools/train.py on one of our configs; gives the finished process."""
    return call(sys.executable, TOOLS / 'train.py', CONFIGS / config, *options)


def _rank_main(rank, function, folder):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    torch.set_num_threads(1)
    gc.freeze()
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    torch.save(function(rank, folder), folder / f'rank{rank}.pth')
    dist.destroy_process_group()


def on_two_ranks(function, folder):
    """Call a function on two ranks.

    Args:
        function: Called with the rank and the folder, of a module that can be imported.
        folder: A path, where the ranks meet and leave what the function returns.

    Returns:
        What it returned on the first rank and on the second: tensors and plain values.
    """
    _serve()
    multiprocessing.start_processes(
        _rank_main, (function, folder), nprocs=2, start_method='forkserver'
    )
    return [torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in (0, 1)]
