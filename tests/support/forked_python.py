"""Python with ``-u -c CODE``, forked from the server: what pytest's workers are started with."""

import os
import signal
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from tests.support import fork_server  # noqa: E402

signal.signal(signal.SIGINT, signal.SIG_IGN)  # ends with the process that it stands for
words = [word for word in sys.argv[1:] if word != '-u']
sys.exit(fork_server.ask(fork_server.become, words, dict(os.environ), os.getcwd()))
