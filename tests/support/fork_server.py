"""A process to fork others from: commands, ranks, and the workers of pytest.

To import torch and the mm packages takes longer than most commands do. The server imports those,
and nothing of mmcroc, when it is first asked.
"""

import contextlib
import gc
import importlib
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, wait
from multiprocessing.reduction import recv_handle, send_handle

from tests.support.paths import ROOT

#: Environment variable: where the server of this process, and of those it starts, is.
ADDRESS = 'MMCROC_FORK_SERVER'
#: Command of a Python that is forked from the server.
PYTHON = [sys.executable, str(ROOT / 'tests/support/forked_python.py')]
IMPORTED = [
    'mmpretrain.datasets', 'mmpretrain.models', 'mmseg.datasets', 'mmseg.models',
    # What MMEngine imports for a run's log and pictures.
    'matplotlib.backends.backend_agg', 'matplotlib.figure', 'setuptools', 'yapf.yapflib.yapf_api',
    # What several wings import.
    'scipy.ndimage', 'scipy.optimize', 'scipy.sparse.csgraph',
]  # fmt: skip


def start():
    """Start the server, which ends when what is returned is closed, or gone with this process."""
    # Whether there is a GPU is asked by imports: in such a way that a forked process can use it.
    settings = dict(OMP_NUM_THREADS='1', PYTORCH_NVML_BASED_CUDA_CHECK='1')
    server = subprocess.Popen(
        [sys.executable, '-c', f'from {__name__} import serve; serve()'],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for pytest
    )
    os.environ[ADDRESS] = server.stdout.readline().strip()
    return server


def serve():
    """Fork a process for each that asks, until there is nobody left on standard input."""
    asked = {}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{folder}/socket')
        listener.listen()
        print(listener.getsockname(), flush=True)
        os.dup2(2, 1)  # nobody reads what imports print
        while sys.stdin not in (ready := wait([listener, sys.stdin, *asked])):
            for sentinel in set(ready) & set(asked):
                connection, process = asked.pop(sentinel)
                process.join()
                with contextlib.suppress(BrokenPipeError), connection:
                    connection.send(process.exitcode)
            if listener in ready:
                for name in IMPORTED:
                    with contextlib.suppress(Exception):  # whoever needs it will tell
                        importlib.import_module(name)
                connection = Connection(listener.accept()[0].detach())
                process = get_context('fork').Process(target=_do, args=(connection,))
                process.start()
                asked[process.sentinel] = connection, process


def _do(connection):
    for number in (0, 1, 2):
        os.dup2(recv_handle(connection), number)
    sys.stdin = os.fdopen(0, closefd=False)  # that of a forked process is empty
    function, args = connection.recv()
    gc.freeze()  # as a new process, it has nothing to collect
    function(*args)


def ask(function, *args, streams=(0, 1, 2)):
    """Call a function in a process forked from the server; the exit code of that process.

    Args:
        function: Of a module that can be imported.
        *args: Its arguments, which can be pickled.
        streams: What standard input, output and error of the process are, files or their numbers.
    """
    with Client(os.environ[ADDRESS]) as connection:
        for stream in streams:
            send_handle(connection, stream if isinstance(stream, int) else stream.fileno(), None)
        connection.send((function, args))
        return connection.recv()


def become(words, env, cwd):
    """Do in this process what ``python words`` does with that environment in that folder."""
    assert 'mmcroc' not in sys.modules, 'which mmcroc is imported is for the command to say'
    paths = [''] if words[0] in ('-c', '-m') else [os.path.dirname(words[0])]
    paths += env.get('PYTHONPATH', '').split(os.pathsep)
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
