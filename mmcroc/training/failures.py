"""Failures that come from outside a training: full disks, killed processes, lost ranks."""

import errno
import re
from pathlib import Path

from mmengine.runner import find_latest_checkpoint

#: What to do about errors of the system.
DISKS = {
    errno.ENOSPC: 'make room on the disk',
    errno.EDQUOT: 'make room in the quota',
    errno.EFBIG: 'let files be larger',
    errno.EROFS: 'make the folder writable',
}
#: What to do about errors of torch, by what it says of them.
PROCESSES = {
    'DataLoader worker': 'a process that reads images ended from outside, mostly for want of '
    'memory; lower train_dataloader.num_workers',
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
    words = str(error).split('. ')[0]
    if isinstance(error, OSError):
        cure = DISKS.get(error.errno or 0)
    else:
        cure = next((PROCESSES[said] for said in PROCESSES if re.search(said, words)), None)
    if cure is None:
        return None
    last = find_latest_checkpoint(work_dir)
    after = f'--resume goes on from {last}' if last and Path(last).exists() else 'then start again'
    return f'{re.sub(r"^.[^ ]*:[0-9]+. ", "", words)}: {cure}; {after}'
