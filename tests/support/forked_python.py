"""Python for what starts one by its name, as pytest its workers: forked from the server."""

import os
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from tests.support import fork_server  # noqa: E402

signal.signal(signal.SIGINT, signal.SIG_IGN)  # ends with the process that it stands for
words = sys.argv[1:]
if words[0] == '-u':  # buffers matter to nobody
    del words[0]
sys.exit(fork_server.ask(fork_server.become, words, dict(os.environ), os.getcwd()))
