"""Files and folders that are whole or absent."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: End of the name of what is being written.
UNFINISHED = '.unfinished'


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file to write to that appears under its name only once it is written out.

    Its folder is made if need be. What is written is a temporary neighbour, renamed at the end and
    deleted after an error. What a killed process leaves of it, the folder's next
    :func:`~mmcroc.sole_writer.sole_writer` deletes.

    Raises:
        OSError: It cannot be written; the error names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(UNFINISHED, f'.{path.name}.', path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _open_to_colleagues(temporary, 0o666)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(path)  # a full disk does not say of what
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to write to, as of a file; one that is there is replaced once it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(UNFINISHED, f'.{path.name}.', path.parent))
    try:
        yield temporary
        _open_to_colleagues(temporary, 0o777)
        if path.exists():  # a folder cannot be renamed over another that holds something
            old = Path(tempfile.mkdtemp(prefix=f'.{path.name}.old.', dir=path.parent))
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_to_colleagues(path: str | os.PathLike[str], mode: int) -> None:
    """Give a temporary file or folder the permissions that a plain one would have."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, mode & ~umask)
