"""What the converters share: many files, in parallel, safely, as often as you like."""

import argparse
from collections.abc import Callable

from mmcroc.data.each_image import for_each_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --nproc and --overwrite."""
    parser.add_argument('--nproc', type=int, default=8, help='processes (default: %(default)s)')
    parser.add_argument(
        '--overwrite', action='store_true', help='convert files again that are already there'
    )


def run(convert: Callable[..., None], jobs: list[tuple], nproc: int, overwrite: bool) -> int:
    """Call ``convert(*job)`` for all jobs whose first entry, the path it writes, is not there yet.

    Prints a summary; gives the exit status, 1 if any job failed.
    """
    todo = [job for job in jobs if overwrite or not job[0].exists()]
    done, failed = for_each_image(todo, convert, nproc)
    there = len(jobs) - len(todo)
    print(f'{len(done)} converted, {there} already there, {len(failed)} failed')
    return 1 if failed else 0
