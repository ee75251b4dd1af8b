"""Bad inputs, and what every reader owes them: an answer in words, soon, and nothing run."""

import contextlib
import os
import pickle
import re
import signal
import struct
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

from hypothesis import strategies as st

from mmcroc.data.image_reading import UnreadableImageError

#: What a reader refuses a file by.
REFUSALS = (ValueError, OSError, UnreadableImageError)
#: Limits of a reader's time (seconds) and memory (MiB) for a file of a few kB.
SECONDS, MEBIBYTES = 10, 400
#: Inputs given to each reader, and how many of them it read.
COUNTS: dict[str, list[int]] = defaultdict(lambda: [0, 0])

#: Audit events of programs that are started, and of files that are written.
RUNS = {
    'os.exec', 'os.fork', 'os.posix_spawn', 'os.spawn', 'os.system', 'pty.spawn', 'socket.connect',
    'subprocess.Popen', 'os.mkdir', 'os.remove', 'os.rename', 'os.rmdir', 'os.symlink', 'os.link',
    'shutil.rmtree', 'tempfile.mkdtemp',
}  # fmt: skip
_watched: list[list] = []


def _audit(event, arguments):
    if not _watched:
        return
    writes = event == 'open' and isinstance(arguments[2], int) and arguments[0] != os.devnull
    if event in RUNS or (writes and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        _watched[-1].append((event, *map(str, arguments[:2])))


sys.addaudithook(_audit)


class TooLongError(Exception):
    """A reader took longer than ``SECONDS``."""


def _ring(*_):
    raise TooLongError


def _peak():
    """Greatest resident memory so far, MiB; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1]) / 1024
    return 0


@contextlib.contextmanager
def bounded(allowed=None):
    """Let a reader have so much time and memory, run no program and write no file.

    Args:
        allowed: Folder that it may write to.
    """
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
    before, happened = _peak(), []
    old = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _watched.append(happened)
    try:
        yield
    finally:
        _watched.pop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        # Of a folder that is deleted (an event of its own) files are named without it.
        outside = [
            one
            for one in happened
            if not allowed or not (str(allowed) in one[1] or one[1].startswith('tmp'))
        ]
        assert not outside, outside
        assert _peak() - before < MEBIBYTES, f'{_peak() - before:.0f} MiB'


def read_or_refuse(read, path, allowed=None):
    """Give a reader its file: what it read, or None if it was refused, in words that name it.

    Any other error, and whatever takes too long or too much, fails the test.
    """
    count = COUNTS[f'{read.__module__}.{read.__qualname__}'.replace('.<locals>', '')]
    count[0] += 1
    with bounded(allowed):
        try:
            found = read(path)
        except REFUSALS as error:
            assert Path(path).name.strip('\0') in str(error), f'{path} is not named: {error!r}'
            return None
    count[1] += 1
    return found


@st.composite
def damaged(draw, *samples):
    """Bytes of one of some samples, cut, flipped, doubled or filled in places; or any bytes."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(['cut', 'flip', 'double', 'fill', 'number', 'any']))
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        if kind == 'cut':
            del data[at:]
        elif kind == 'flip' and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == 'double':
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        elif kind == 'fill':
            data[at : at + 8] = bytes([draw(st.sampled_from([0, 0x7F, 0x80, 0xFF]))]) * 8
        elif kind == 'number':
            form = draw(st.sampled_from(['<I', '>I', '<Q', '>Q', '<H', '>H']))
            value = draw(st.integers(0, 256 ** struct.calcsize(form) - 1))
            data[at : at + struct.calcsize(form)] = struct.pack(form, value)
        else:
            data = bytearray(draw(st.binary(max_size=200)))
    return bytes(data)


#: Values for JSON and literals, deep and of every type.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@st.composite
def changed(draw, content):
    """JSON content with one of its values, anywhere, replaced by any or left out."""
    if isinstance(content, dict | list) and content and draw(st.integers(0, 5)):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = draw(st.sampled_from(keys))
        content = content.copy()
        if draw(st.integers(0, 4)):
            content[key] = draw(changed(content[key]))
        else:
            del content[key]
        return content
    return draw(VALUES)


def calls(trace):
    """Pickles that make a folder, ``trace``, each by another operation that can call.

    All are read by Python's own ``pickle``, which does as they say, but for the two that need a
    registered extension or a program's own identifiers.
    """
    name = str(trace).encode()
    mkdir = b'cos\nmkdir\n'
    argument = b'X' + struct.pack('<I', len(name)) + name
    called = mkdir + argument + b'\x85R.'
    short = b'\x8c'
    stack_global = short + b'\x02os' + short + b'\x05mkdir' + b'\x93'
    return {
        'GLOBAL REDUCE': b'\x80\x02' + mkdir + argument + b'\x85R.',
        'STACK_GLOBAL REDUCE': b'\x80\x04' + stack_global + argument + b'\x85R.',
        'INST': b'(' + b'V' + name + b'\nios\nmkdir\n.',
        'OBJ': b'(' + mkdir + argument + b'o.',
        'NEWOBJ': b'\x80\x02cpathlib\nPath\n)\x81' + mkdir + argument + b'\x85R.',
        'NEWOBJ_EX': b'\x80\x04' + mkdir + argument + b'\x85R'
        b'cpathlib\nPath\n)}\x92.',
        'BUILD': b'\x80\x02ccollections\nOrderedDict\n)R' + mkdir + argument + b'\x85Rb.',
        'EXT1': b'\x80\x02\x82\x01' + argument + b'\x85R.',
        'EXT2': b'\x80\x02\x83\x01\x00' + argument + b'\x85R.',
        'EXT4': b'\x80\x02\x84\x01\x00\x00\x00' + argument + b'\x85R.',
        'PERSID': b'P' + name + b'\n.',
        'BINPERSID': b'\x80\x02' + argument + b'Q.',
        'FRAME': b'\x80\x04\x95' + struct.pack('<Q', len(called)) + called,
        'partial': b'\x80\x02cfunctools\npartial\n' + mkdir + argument + b'\x86R)R.',
        'getattr': b'\x80\x02c__builtin__\ngetattr\ncos\nmkdir\n' + b'X\x08\0\0\0__call__\x86R'
        + argument + b'\x85R.',
        'setstate': b'\x80\x02ccollections\nOrderedDict\n)RX\x0c\0\0\0__setstate__' + mkdir
        + b's' + argument + b'b.',
    }  # fmt: skip


def zipped(pickled, path, name='archive', compression=zipfile.ZIP_STORED, **others):
    """Write a pickle, and other members, as torch's zip format."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr(f'{name}/data.pkl', pickled)
        archive.writestr(f'{name}/byteorder', b'little')
        archive.writestr(f'{name}/version', b'3\n')
        for member, data in others.items():
            archive.writestr(f'{name}/{member}', data)


def legacy(pickled):
    """Bytes of torch's format before 1.6 with such a pickle."""
    start = (0x1950A86A20F9469CFC6C, 1001, dict(protocol_version=1001, little_endian=True))
    return b''.join(pickle.dumps(one, 2) for one in start) + pickled + pickle.dumps([], 2)
