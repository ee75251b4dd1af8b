"""What torch's safe reading of pickles leaves open, looked for before and after it."""

import argparse
import io
import pickletools
import zipfile
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from mmcroc.foreign_files import open_regular, require_stored

#: Operations that weights need; torch reads no others.
OPERATIONS = frozenset(
    """
    PROTO STOP MARK GLOBAL NEWOBJ REDUCE BUILD APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1 TUPLE2
    TUPLE3 NONE NEWTRUE NEWFALSE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BININT BININT1 BININT2
    BINFLOAT BINUNICODE SHORT_BINSTRING LONG1 BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT
    """.split()  # noqa: SIM905
)
#: What torch would call, and what fills memory by a number.
REFUSED = frozenset(['builtins bytearray', '__builtin__ bytearray'])
#: Greatest number of things in a tuple, those of the tuples within counted each time, and depth.
MOST_THINGS, MOST_DEPTH = 1 << 20, 100
#: Pickles at the beginning of a file of torch's old format.
PICKLES = 5
#: Things that are on the stack in place of a mark, and of all that is no tuple.
_MARK, _LEAF = (-1, -1), (1, 0)


def check_before(path: str) -> None:
    """Refuse a file that torch should not even begin to read.

    That is compressed archives, programs (TorchScript), the tar files of torch 0.1 (which older
    versions unpack), operations of pickles that no weights need, and tuples of tuples that would
    take for ever to be hashed.

    Raises:
        ValueError, UnpicklingError, zipfile.BadZipFile: What is wrong.
    """
    with open_regular(path) as file:
        if file.read(4) != b'PK\x03\x04':
            file.seek(0)
            for _ in range(PICKLES):
                _check_pickle(file)
                if not file.peek(1):  # type: ignore[attr-defined]
                    break
            return
    require_stored(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.rpartition('/')[2] == 'constants.pkl' for name in names):
            raise UnpicklingError('it is a program (TorchScript)')
        for entry in archive.infolist():
            if entry.filename.endswith('.pkl'):
                # torch.serialization.set_crc32_options(False) leaves sums of 0.
                entry.CRC = entry.CRC or None  # type: ignore[assignment]
                _check_pickle(io.BytesIO(archive.read(entry)))


def _check_pickle(file: BinaryIO) -> None:
    """Go through one pickle's operations without doing them."""
    stack: list[tuple[int, int]] = []
    memo: dict[Any, tuple[int, int]] = {}
    try:
        for operation, argument, _ in pickletools.genops(file):
            name = operation.name
            if name not in OPERATIONS:
                raise UnpicklingError(f'pickle operation {name}: weights need none such')
            if argument in REFUSED and name == 'GLOBAL':
                raise UnpicklingError(f'GLOBAL {argument.replace(" ", ".")}')
            if name.endswith('GET'):
                stack.append(memo[argument])
            elif name.endswith('PUT'):
                memo[argument] = stack[-1]
            else:
                _do(operation, stack)
    except (LookupError, ValueError) as error:
        raise UnpicklingError(f'damaged pickle: {error}') from error


def _do(operation: Any, stack: list[tuple[int, int]]) -> None:
    """Take from the stack what an operation takes, and put the size of what it gives."""
    before, taken = operation.stack_before, []
    if pickletools.markobject in before:
        while (top := stack.pop()) is not _MARK:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    taken += [stack.pop() for _ in before]
    if _MARK in taken:
        raise UnpicklingError('damaged pickle: a mark out of place')
    given = _LEAF
    if 'TUPLE' in operation.name:
        given = 1 + sum(n for n, _ in taken), 1 + max((depth for _, depth in taken), default=0)
        if given[0] > MOST_THINGS or given[1] > MOST_DEPTH:
            raise UnpicklingError('pickle of tuples within tuples without end')
    for thing in operation.stack_after:
        stack.append(_MARK if thing is pickletools.markobject else given)


def check_after(content: Any, size: int) -> None:
    """Refuse content that is larger, or would be once it is used, than its file of ``size`` bytes.

    A tensor may have any shape over a few bytes, or over none.

    Raises:
        UnpicklingError: What is wrong.
    """
    seen: set[int] = set()
    todo = [content]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            _check_tensor(thing, size)
        elif isinstance(thing, np.ndarray):
            if thing.nbytes > size:
                raise UnpicklingError(f'an array of {thing.shape} in a file of {size} bytes')
        elif isinstance(thing, Mapping):
            todo += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set):
            todo += thing
        elif isinstance(thing, argparse.Namespace):
            todo += vars(thing).values()


def _check_tensor(tensor: Tensor, size: int) -> None:
    strided = tensor.layout is torch.strided and not tensor.is_nested
    if type(tensor) not in (Tensor, nn.Parameter) or not strided or tensor.device.type != 'cpu':
        raise UnpicklingError(f'a tensor without values of its own ({tensor.layout})')
    numbers = tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size()
    if max(numbers) > size:
        raise UnpicklingError(f'a tensor of {tuple(tensor.shape)} in a file of {size} bytes')
