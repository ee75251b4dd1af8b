"""Files that others made, read within bounds: regular ones, text, JSON, archives."""

import errno
import json
import os
import stat
import zipfile
from typing import Any, BinaryIO

#: Greatest size of a file that is read as a whole, bytes.
MOST_BYTES = 1 << 31


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file to read: a pipe would keep its reader waiting, a device has no end.

    Raises:
        OSError: There is no such file, it is not regular, or cannot be opened.
    """
    require_regular(path)
    return open(path, 'rb')


def require_regular(path: str | os.PathLike[str]) -> None:
    """Refuse, by an OSError, what is no regular file, before anybody opens it."""
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, 'not a regular file', os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file of at most :data:`MOST_BYTES`; all else is an OSError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise OSError(errno.EFBIG, f'{size} bytes, more than {MOST_BYTES}', os.fspath(path))
        return file.read()


def read_text(path: str | os.PathLike[str]) -> str:
    """Read text in UTF-8; a ValueError names a file of other bytes, an OSError is as above."""
    try:
        return read_bytes(path).decode('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text in UTF-8: {error}') from error


def read_json(path: str | os.PathLike[str], kind: type = dict) -> Any:
    """Read JSON with an object, or another ``kind``, at its top; errors as :func:`read_text`."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if not isinstance(content, kind):
        raise ValueError(
            f'{path} holds a {type(content).__name__} at its top, and should a {kind.__name__}'
        )
    return content


def is_plain_name(name: Any) -> bool:
    """Whether a name out of a file is one of a file or folder within the folder it is put into."""
    return (
        isinstance(name, str)
        and name not in ('', os.curdir, os.pardir)
        and not any(mark in name for mark in ('/', '\\', ':', '\0'))
    )


def require_stored(path: str | os.PathLike[str]) -> None:
    """Refuse a ZIP archive, as torch and NumPy write them, that would grow when it is read.

    Neither compresses: what does may hold a thousand times its size.

    Raises:
        ValueError: Members are compressed, or larger together than the file.
        zipfile.BadZipFile: It is no archive, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError('its members are compressed, which weights and arrays are not')
    total = sum(member.file_size for member in members)
    if total > os.path.getsize(path):
        raise ValueError(f'its members are said to have {total} bytes, more than the file')
