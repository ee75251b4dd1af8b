"""Files that are whole or absent."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write to that appears under its name only once it is written out.

    Args:
        path: Name of the file. Its folder is made if need be.

    Yields:
        Temporary neighbour of the file, open for writing; renamed at the end, or deleted after an
        error.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would lock colleagues out
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
