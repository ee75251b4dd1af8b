"""Folders that one process at a time writes to."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from mmcroc.atomic_file import UNFINISHED

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

#: File that is locked, and says by whom.
LOCK = '.writer'


@contextlib.contextmanager
def sole_writer(
    folder: str | os.PathLike[str],
    also: Iterable[str | os.PathLike[str]] = (),
    wait: bool = False,
) -> Iterator[None]:
    """Hold a folder as the one process that writes to it; delete what killed ones left unfinished.

    The system ends the lock with the process, however that ends, and children do not inherit it.
    Where a file system has no locks nothing is locked or deleted. The lock's file goes at the end.

    Args:
        folder: Folder, made if need be.
        also: Folders below it that are cleared of unfinished files too.
        wait: Whether to wait until another process lets go of it.

    Raises:
        OSError: Another process holds it, and ``wait`` is False; or it cannot be written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    while True:
        with open(path, 'a+', encoding='utf-8') as file:
            locked = _lock(file, wait)
            if locked and not _is_at(path, file):
                continue  # who held it has deleted it meanwhile
            if locked:
                for each in {folder, *map(Path, also)}:
                    _clear(each)
                file.truncate(0)
                file.write(f'process {os.getpid()} on {socket.gethostname()}')
                file.flush()
            try:
                yield
            finally:
                if locked:
                    path.unlink(missing_ok=True)
            return


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock(file: TextIO, wait: bool) -> bool:
    """Lock a file; False: the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise BlockingIOError(
            f'{Path(file.name).parent} is being written to by {file.read() or "another process"}: '
            'wait for its end, or name another folder'
        ) from error
    except OSError:
        return False
    return True


def _clear(folder: Path) -> None:
    """Delete what a killed process left unfinished in a folder."""
    for path in folder.glob(f'.*{UNFINISHED}'):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
