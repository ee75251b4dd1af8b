"""What the benchmarks share: a parser, times and memory."""

import argparse
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile
from torch.utils.benchmark import Timer

MIB = 1 << 20


def parser_of(description: str) -> argparse.ArgumentParser:
    """A parser with ``--device``, described by the first line."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser


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
