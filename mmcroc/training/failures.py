"""Failures that come from outside a training: full disks, killed processes, lost ranks."""

import errno
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from mmengine.runner import find_latest_checkpoint

#: What to do about errors of the system.
DISKS = {
    errno.ENOSPC: 'make room on the disk',
    errno.EDQUOT: 'make room in the quota',
    errno.EFBIG: 'let files be larger',
    errno.EROFS: 'make the folder writable',
}
#: How torch begins to tell of a data worker that ended. (Of what a data set raises in one it says
#: "Caught ... in DataLoader worker process": that does not come from outside.)
ENDED_WORKER = re.compile(r'DataLoader worker \(pid|Pin memory thread exited')
#: What to do about that.
FEWER_WORKERS = (
    'a process that reads images ended from outside, mostly for want of memory; lower '
    'train_dataloader.num_workers'
)
#: What to do about other errors of torch, by what it says of them.
PROCESSES = {
    'Timed out|timed out|Connection (closed|reset)|Broken pipe|NCCL': 'another process of this '
    'training ended or hangs; see what it said last',
}


def failure_from_outside(error: Exception, work_dir: str) -> str | None:
    """What failed, what to do about it, and where to go on, in one sentence.

    Args:
        error: Error that ended a training.
        work_dir: Folder of the run.

    Returns:
        The sentence; None for errors of the training itself.
    """
    words = _first_sentence(error)
    ended_worker = _ended_worker(error)
    cure: str | None
    if ended_worker is not None:
        words, cure = ended_worker, FEWER_WORKERS
    elif isinstance(error, OSError):
        cure = DISKS.get(error.errno or 0)
    else:
        cure = next((PROCESSES[said] for said in PROCESSES if re.search(said, words)), None)
    if cure is None:
        return None
    last = find_latest_checkpoint(work_dir)
    after = f'--resume goes on from {last}' if last and Path(last).exists() else 'then start again'
    return f'{re.sub(r"^.[^ ]*:[0-9]+. ", "", words)}: {cure}; {after}'


def _first_sentence(error: BaseException) -> str:
    return str(error).split('. ')[0]


def _ended_worker(error: Exception) -> str | None:
    """What tells that a data worker ended; None if nothing does.

    Torch raises it wherever the program happens to be, and what it meets there may take it for an
    error of its own. In the moment before torch can know, what breaks is reading from the worker.
    """
    for one in _causes(error):
        if ENDED_WORKER.match(str(one)):
            return _first_sentence(one)
    reading = any(
        frame.name == '_try_get_data' for frame in traceback.extract_tb(error.__traceback__)
    )
    if reading and isinstance(error, ConnectionError | EOFError):
        return f'DataLoader worker: {_first_sentence(error) or "no more comes from it"}'
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
