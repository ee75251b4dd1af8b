"""What the benchmarks share: a parser, times and memory, files of figures that runs leave."""

import argparse
import itertools
import json
import os
import platform
import re
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile
from torch.utils.benchmark import Timer

from mmcroc.version import __version__

MIB = 1 << 20
#: Packages whose versions figures may depend on.
PACKAGES = ('torch', 'numpy', 'faiss-cpu', 'higra', 'opencv-python', 'Pillow', 'scikit-image',
            'simplejpeg', 'torchvision')  # fmt: skip


def parser_of(description: str) -> argparse.ArgumentParser:
    """A parser with ``--device`` and ``--json``, described by the first line."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add ``--json``, the file that :func:`record` writes."""
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='file for the figures; one of an earlier run is compared with, then '
                        'replaced')  # fmt: skip
    return parser


def record(path: Path | None, figures: dict[str, Any]) -> None:
    """Print a run's figures beside those of the file's earlier run, and write them.

    Args:
        path: File, of :func:`add_json`'s option; None: nothing happens.
        figures: Numbers by name, or such dicts by name, to any depth.
    """
    compare(earlier(path), figures)
    write(path, figures)


def earlier(path: Path | None) -> dict[str, Any] | None:
    """What an earlier run wrote, if there is anything."""
    return json.loads(path.read_text()) if path is not None and path.exists() else None


def compare(run: dict[str, Any] | None, figures: dict[str, Any]) -> None:
    """Print figures beside those of an earlier run; nothing where there was none."""
    if run is None:
        return
    then, now = (dict(_leaves(found)) for found in (run['figures'], figures))
    print(f'\nthen: {run["machine"]}; {run["command"]}\nnow:  {machine()}')
    print(f'{"":50s}{"then":>12s}{"now":>12s}{"now/then":>10s}')
    for name in filter(then.__contains__, now):
        ratio = f'{now[name] / then[name]:10.2f}' if then[name] else ''
        print(f'{name:50s}{then[name]:12.4g}{now[name]:12.4g}{ratio}')


def write(path: Path | None, figures: dict[str, Any]) -> None:
    """Write figures with machine, versions and command; arguments as of :func:`record`."""
    if path is None:
        return
    command = shlex.join(['python', os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    run = dict(machine=machine(), versions=versions(), command=command, figures=figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1) + '\n')


def machine() -> str:
    """Processor, cores that this process may use, and GPU."""
    info = Path('/proc/cpuinfo')
    names = re.findall(r'model name\s*: (.*)', info.read_text()) if info.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    parts = [names[0] if names else platform.machine(), f'{cores} cores']
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ', '.join(parts)


def versions() -> dict[str, str]:
    """Versions of Python, of mmcroc and of those of ``PACKAGES`` that are installed."""
    found = dict(python=platform.python_version(), mmcroc=__version__)
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _leaves(figures: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, float]]:
    """All numbers of nested dicts, by their names joined."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _leaves(value, f'{prefix}{name}, ')
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f'{prefix}{name}', value


def seconds(function: Callable[[], Any], least: float = 1.0, **options: Any) -> float:
    """Median time of a call, after one to warm up, over ``least`` seconds of calls or more.

    The GPU is waited for. ``options`` are those of :class:`torch.utils.benchmark.Timer`.
    """
    threads = torch.get_num_threads()
    timer = Timer('f()', globals=dict(f=function), num_threads=threads, **options)
    return timer.blocked_autorange(min_run_time=least).median


def peak(function: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Most memory in use while a function runs, MiB, and what it returned.

    Of the GPU what its tensors took, else the resident set of this process (Linux).
    """
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats()
        found = function()
        return torch.cuda.max_memory_allocated() / MIB, found
    Path('/proc/self/clear_refs').write_text('5')  # forgets the peak so far
    found = function()
    kib = re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())
    return int(kib[1]) / 1024, found


def tensor_peak(function: Callable[[], Any]) -> float:
    """Most memory that tensors which a function makes hold at a time, MiB, on any device."""
    with profile(profile_memory=True) as profiler:
        function()
    results = profiler.profiler.kineto_results
    changes = [event.nbytes() for event in results.events() if event.name() == '[memory]']
    return max(itertools.accumulate(changes), default=0) / MIB


def host_waits(function: Callable[[], Any]) -> Counter:
    """How often a function makes the host wait for the GPU, by ``FILE:LINE``."""
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            function()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return Counter(f'{w.filename}:{w.lineno}' for w in caught if 'synchroniz' in str(w.message))
