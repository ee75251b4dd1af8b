"""What the converters share: many files, in parallel, safely, as often as you like."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image

from mmcroc.atomic_file import atomic_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --nproc and --overwrite."""
    parser.add_argument('--nproc', type=int, default=8, help='processes (default: %(default)s)')
    parser.add_argument(
        '--overwrite', action='store_true', help='convert files again that are already there'
    )


def run(function: Callable[..., None], jobs: list[tuple], nproc: int, overwrite: bool) -> int:
    """Call ``function(*job)`` for all jobs, with a progress bar; report and count what fails.

    Args:
        function: Module-level function that converts one file; its first argument is the path it
            writes. It raises where it cannot.
        jobs: Arguments of each call.
        nproc: Number of processes.
        overwrite: Whether to do jobs whose file is there already.

    Returns:
        Exit status: 1 if any job failed, else 0. The summary is printed.
    """
    task = partial(_run_one, function, overwrite)
    bar = {'file': sys.stderr}
    if nproc > 1 and len(jobs) > 1:
        outcomes = track_parallel_progress(task, jobs, nproc, chunksize=8, **bar)
    else:
        outcomes = track_progress(task, jobs, **bar)
    for outcome, text in outcomes:
        if outcome == 'failed':
            print(f'failed: {text}', file=sys.stderr)
    count = Counter(outcome for outcome, _ in outcomes)
    print(
        f'{count["converted"]} converted, {count["there"]} already there, {count["failed"]} failed'
    )
    return 1 if count['failed'] else 0


def _run_one(function: Callable[..., None], overwrite: bool, job: tuple) -> tuple[str, str]:
    """Do one job: what came of it, and what went wrong."""
    path = Path(job[0])
    if path.exists() and not overwrite:
        return 'there', ''
    try:
        function(*job)
    except Exception as error:  # one bad file must not end the work on the others
        return 'failed', f'{path}: {type(error).__name__}: {error}'
    return 'converted', ''


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write labels (H, W), uint8, as a grey PNG, whole or not at all."""
    with atomic_file(path) as file:
        Image.fromarray(labels).save(file, format='PNG')
