"""The frame of every tool that goes through images: name what failed, show the bar."""

import contextlib
import errno
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

Job = tuple[Any, ...]
#: Errors of writing that every image would meet.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def for_each_image(
    jobs: Sequence[Job], do: Callable[..., Any], num_workers: int = 1
) -> tuple[dict[Job, Any], dict[Job, str]]:
    """Call ``do(*job)`` for every job, with a progress bar on stderr.

    One bad image does not end the work on the others: it is named, above the bar, and left out.
    What no other image would survive either (out of memory, a full disk, an interrupt) is raised.

    Args:
        jobs: Tuples that begin with the path of an image.
        do: Function of a job's entries. For several processes it must be picklable.
        num_workers: Number of processes.

    Returns:
        What ``do`` returned, by job; and why it failed, by job.
    """
    done: dict[Job, Any] = {}
    failed: dict[Job, str] = {}
    with tqdm(total=len(jobs), unit='image', file=sys.stderr, dynamic_ncols=True) as bar:
        for job, result, problem in _outcomes(jobs, do, min(num_workers, len(jobs))):
            if problem is None:
                done[job] = result
            else:
                failed[job] = problem
                bar.write(f'failed: {problem}', file=sys.stderr)
            bar.update()
    return done, failed


def _outcomes(
    jobs: Sequence[Job], do: Callable[..., Any], num_workers: int
) -> Iterator[tuple[Job, Any, str | None]]:
    """Each job, what came of it, and why it failed (None where it did not)."""
    if num_workers <= 1:
        for job in jobs:
            yield job, *_attempt(do, job)
        return
    # Spawned: a fork of a process that has threads (torch's) may wait for ever.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(num_workers, context, _take_one_thread) as pool:
        try:
            futures = {pool.submit(_attempt, do, job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], *future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _take_one_thread() -> None:
    """Keep this process to one thread: the processes are the parallelism."""
    import cv2

    cv2.setNumThreads(1)
    os.environ['OMP_NUM_THREADS'] = '1'  # for torch, should it be imported later
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(1)


def _attempt(do: Callable[..., Any], job: Job) -> tuple[Any, str | None]:
    """What ``do`` makes of a job, and why it failed (None where it did not)."""
    try:
        return do(*job), None
    except Exception as error:
        if _out_of_memory(error) or getattr(error, 'errno', None) in NO_ROOM:
            raise
        message = str(error) if str(job[0]) in str(error) else f'{job[0]}: {error}'
        return None, f'{message} ({type(error).__name__})'


def _out_of_memory(error: BaseException) -> bool:
    # By its name: whoever needs no torch need not import it.
    return type(error).__name__ == 'OutOfMemoryError'


@contextlib.contextmanager
def exit_in_words(kept: str) -> Iterator[None]:
    """Let an interrupt, or want of memory or room, end a program with what becomes of its work."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(f'interrupted; {kept}')
    except BrokenProcessPool:
        sys.exit(
            'a worker process died, probably for want of memory: start again with fewer '
            f'--num-workers; {kept}'
        )
    except OSError as error:
        sys.exit(f'{error}; {kept}')
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
        sys.exit(f'out of memory: lower --longer-side; {kept}')
