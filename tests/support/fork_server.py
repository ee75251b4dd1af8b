"""A process to fork others from.

To import torch and the mm packages takes longer than most commands do. The server imports those,
and nothing of mmcroc, when it is first asked, once for all workers of pytest.
"""

import contextlib
import gc
import importlib
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, wait
from multiprocessing.reduction import recv_handle, send_handle

from tests.support.paths import ROOT

#: Environment variable: where the server of this process, and of those it starts, is.
ADDRESS = 'MMCROC_FORK_SERVER'
#: Standard output and error: what a process prints is printed by whoever asked for it.
STREAMS = 1, 2
IMPORTED = [
    'mmpretrain.datasets', 'mmpretrain.models', 'mmseg.datasets', 'mmseg.models',
    # What MMEngine imports for a run's log and pictures.
    'matplotlib.backends.backend_agg', 'matplotlib.figure', 'setuptools', 'yapf.yapflib.yapf_api',
    # What several wings import.
    'scipy.ndimage', 'scipy.optimize', 'scipy.sparse.csgraph',
]  # fmt: skip


def start():
    """Start the server, which ends when what is returned is closed, or gone with this process."""
    server = subprocess.Popen(
        [sys.executable, '-c', f'from {__name__} import serve; serve()'],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    os.environ[ADDRESS] = server.stdout.readline().strip()
    return server


def serve():
    """Fork a process for each that asks, until there is nobody left on standard input."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{folder}/socket')
        listener.listen()
        print(listener.getsockname(), flush=True)
        os.dup2(2, 1)  # nobody reads what imports print
        while sys.stdin not in wait([listener, sys.stdin]):
            for name in IMPORTED:
                with contextlib.suppress(Exception):  # whoever needs it will tell
                    importlib.import_module(name)
            with Connection(listener.accept()[0].detach()) as connection:
                get_context('fork').Process(target=_answer, args=(connection,)).start()


def _answer(connection):
    try:
        for stream in STREAMS:
            os.dup2(recv_handle(connection), stream)
        function, args = connection.recv()
        gc.freeze()  # as a new process, it has nothing to collect
        answer = True, function(*args)
    except Exception:
        answer = False, traceback.format_exc()
    connection.send(answer)


def ask(function, *args):
    """What a function returns when it is called in a process forked from the server.

    Args:
        function: Of a module that can be imported.
        *args: Its arguments; they and what is returned can be pickled.
    """
    with Client(os.environ[ADDRESS]) as connection:
        for stream in STREAMS:
            send_handle(connection, stream, None)
        connection.send((function, args))
        done, answer = connection.recv()
    if not done:
        raise RuntimeError(answer)
    return answer
