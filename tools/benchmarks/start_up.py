"""Time from a command to a training's first iteration, and what it is made of.

    python tools/benchmarks/start_up.py [CONFIG] [--no-validate ...]

Runs tools/train.py, with any further options, in a new process until the first iteration is done,
``--runs`` times, of which the fastest counts. Imports of other packages come first, in an order
that shows what each adds: no training can begin sooner. The first run after an installation is not
for measuring: Python compiles what it imports.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

from mmcroc.command_line import config_file

TRAIN = Path(__file__).parents[1] / 'train.py'
#: Imports other packages, then trains; prints each part's name and when it ended.
PROGRAM = """
import contextlib, importlib, io, json, os, runpy, sys, time, warnings

ends = [('Python itself', time.time())]

def ended(name):
    ends.append((name, time.time()))

warnings.simplefilter('ignore')
for name in ('torch', 'mmengine.runner', 'torchvision', 'mmpretrain.models', 'mmpretrain.datasets',
             'mmseg.datasets'):
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module(name)
    ended(f'import {name}')

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

train = Runner.train

def started(runner):
    ended('config, model, hooks')
    train(runner)

def stop_after(run_iter):
    def first_iteration(*args, **kwargs):
        ended('first probes and pictures, data')
        run_iter(*args, **kwargs)
        ended('first iteration')
        print(json.dumps(ends), flush=True)
        os._exit(0)
    return first_iteration

Runner.train = started
for loop in (EpochBasedTrainLoop, IterBasedTrainLoop):
    loop.run_iter = stop_after(loop.run_iter)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', nargs='?', type=config_file, default='mmcroc::croc_vit-t_scenes.py',
        help='train config file, or mmcroc::NAME',
    )  # fmt: skip
    parser.add_argument('--runs', type=int, default=3, help='new processes, one after another')
    return measure.add_json(parser).parse_known_args()


def one_run(config, options):
    """Seconds of each part of a run, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-c', PROGRAM, TRAIN, config, '--work-dir', folder, *options]
        begin = time.time()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    parts = {}
    for name, end in json.loads(done.stdout.splitlines()[-1]):
        parts[name], begin = end - begin, end
    return parts


def main():
    args, options = parse_args()
    runs = [one_run(args.config, options) for _ in range(args.runs)]
    runs.sort(key=lambda run: sum(run.values()))
    parts, slowest = runs[0], sum(runs[-1].values())
    total = sum(parts.values())
    print(f'\n{" ".join([args.config, *options])}, the fastest of {args.runs} '
          f'(the slowest took {slowest:.2f} s)\n')  # fmt: skip
    print(f'{"":36s}{"s":>8s}{"share":>8s}')
    for name, value in parts.items():
        print(f'{name:36s}{value:8.2f}{value / total:8.0%}')
    print(f'{"to the first iteration":36s}{total:8.2f}')
    figures = {**parts, 'to the first iteration': total, 'the slowest run': slowest}
    measure.record(args.json, {'s': figures})


if __name__ == '__main__':
    main()
