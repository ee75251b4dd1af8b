"""Commands as users call them, in processes of their own."""

import os
import subprocess
import sys

from tests.support.paths import CONFIGS, ROOT, TOOLS


def call(*command, **env):
    """Run a command in the repository's root, on one thread; gives the finished process."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env},
        check=False,
    )


def train(config, *options):
    """Run tools/train.py on one of our configs; gives the finished process."""
    return call(sys.executable, TOOLS / 'train.py', CONFIGS / config, *options)
