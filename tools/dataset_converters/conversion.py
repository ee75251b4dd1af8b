"""What the converters share: many files, in parallel, safely, as often as you like."""

import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from mmengine.utils import track_parallel_progress, track_progress
from PIL import Image


def add_arguments(parser):
    """Add --nproc and --overwrite."""
    parser.add_argument('--nproc', type=int, default=8, help='processes (default: %(default)s)')
    parser.add_argument(
        '--overwrite', action='store_true', help='convert files again that are already there'
    )


def run(function, jobs, nproc, overwrite):
    """Call ``function(*job)`` for all jobs, with a progress bar; report and count what fails.

    Args:
        function (Callable): Module-level. Converts one file; its first argument is the path it
            writes. Raises where it cannot.
        jobs (list[tuple]): Arguments of each call.
        nproc (int): Processes.
        overwrite (bool): Do jobs whose file is there already.

    Returns:
        int: The exit status: 1 if any job failed, else 0. The summary is printed.
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


def _run_one(function, overwrite, job):
    path = Path(job[0])
    if path.exists() and not overwrite:
        return 'there', ''
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        function(*job)
    except Exception as error:  # one bad file must not end the work on the others
        return 'failed', f'{path}: {type(error).__name__}: {error}'
    return 'converted', ''


def replace(path, write):
    """Let ``write(temporary)`` make a file and put it in place at once: never half a file."""
    path = Path(path)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_labels(path, labels):
    """Write labels (H, W), uint8, as a grey PNG."""
    replace(path, Image.fromarray(labels).save)
