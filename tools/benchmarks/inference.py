"""Images per second of segment.py and visualize.py, beside the backbone's forward alone.

    python tools/benchmarks/inference.py [MODEL] [--images 100] [--profile]

The images are made ones of 640 x 480 pixels. Each tool is called as on the command line, in this
process; the time to load its model is left out. With one thread on a CPU time is the process's own.
"""

import contextlib
import cProfile
import importlib
import io
import pstats
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import measure
import torch
from data_pipeline import NUMBER, make_photos

import mmcroc
from mmcroc.data.image_reading import read_image
from mmcroc.inference.segmentation import model_inputs

TOOLS = ('segment', 'visualize')


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('model', nargs='?', default='random:deit-small/16', metavar='MODEL')
    parser.add_argument('--images', type=int, default=100)
    parser.add_argument('--longer-side', type=int, default=512)
    parser.add_argument('--profile', action='store_true', help="each tool's dearest functions")
    return parser.parse_args()


def draw_images(folder, number):
    """Write so many files: a dozen pictures over and over."""
    make_photos(folder)
    drawn = sorted(Path(folder).iterdir())
    for i in range(NUMBER, number):
        Path(folder, f'{i:03d}.jpg').write_bytes(drawn[i % NUMBER].read_bytes())
    for path in drawn[number:]:
        path.unlink()


def clock_of(device):
    """Time of this process alone, where one thread does everything; else that of the wall."""
    alone = device == 'cpu' and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


def forward_seconds(args, model, paths):
    """Time of the backbone alone on all images, read and resized before."""
    clock = clock_of(args.device)
    inputs = [model_inputs(model, read_image(p), model.stride, args.longer_side) for p in paths]
    model.extract_feat(inputs[0])
    start = clock()
    for image in inputs:
        found = model.extract_feat(image)[0]
    found.sum().item()  # a GPU is waited for
    return clock() - start


def tool_seconds(name, model, args, folder):
    """Time of a tool on all images, but for loading its model."""
    tool, clock = importlib.import_module(name), clock_of(args.device)
    out = f'{folder}-{name}'
    options = ['--out', out, '--longer-side', str(args.longer_side), '--device', args.device]
    profiler = cProfile.Profile() if args.profile else contextlib.nullcontext()
    with mock.patch.object(mmcroc.inference, 'init_model', lambda *_, **__: model):
        start = clock()
        with profiler, contextlib.redirect_stdout(io.StringIO()):
            try:
                tool.main([folder, args.model, *options])
            except SystemExit as end:
                if end.code:  # an image failed
                    raise
        seconds = clock() - start
    if args.profile:
        pstats.Stats(profiler).sort_stats('tottime').print_stats(15)
    return seconds


def main():
    args = parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    model = mmcroc.inference.init_model(None, args.model, args.device)
    with tempfile.TemporaryDirectory() as made:
        folder = f'{made}/images'
        Path(folder).mkdir()
        draw_images(folder, args.images)
        paths = sorted(Path(folder).iterdir())
        times = {'forward alone': forward_seconds(args, model, paths)}
        times |= {f'{name}.py': tool_seconds(name, model, args, folder) for name in TOOLS}
    print(f'\n{args.images} images, {args.model} on {args.device}\n')
    print(f'{"":16s}{"images/s":>10s}{"x forward":>11s}')
    for name, value in times.items():
        print(f'{name:16s}{args.images / value:10.2f}{value / times["forward alone"]:11.2f}')
    seconds = {name: value / args.images for name, value in times.items()}
    measure.record(args.json, {'seconds an image': seconds})


if __name__ == '__main__':
    main()
