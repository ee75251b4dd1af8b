"""Time a training step, batch size by batch size: images per second, share of the peak, waits.

    python tools/benchmarks/training_step.py configs/croc_vit-s_coco.py --compiled 32 128

The batch is made of noise and stays in main memory, so that the data pipeline plays no part. A
config of HSG gets Voronoi cells for its regions. Floating-point operations are counted by torch and
set against a bf16 matrix product of 8192 x 8192 x 8192, measured in the same run.
"""

import time
from itertools import count
from pathlib import Path

import measure
import numpy as np
import torch
from hsg_step import draw_regions
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch.utils.flop_counter import FlopCounterMode

from mmcroc.config_files import ConfigOptions, read_config
from mmcroc.registry import MODELS

COLUMNS = ('config', 'batch', 'compiled', 'img/s', 'ms', 'TFLOP/s', 'of peak', 'GiB', 'waits',
           'clustering ms', 'first step s')  # fmt: skip


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('configs', nargs='+')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[32, 64, 128, 256])
    parser.add_argument('--size', type=int, default=224, help='side of the views, pixels')
    parser.add_argument('--iters', type=int, default=10, help='iterations timed, after 5 more')
    parser.add_argument('--compiled', type=int, nargs='+', default=[], metavar='BATCH_SIZE',
                        help='sizes of batches to be measured with compile=True too')  # fmt: skip
    parser.add_argument('--profile', action='store_true', help='the dearest operations of a step')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={})
    return parser.parse_args()


def synchronise(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def peak_flops(device, side=8192):
    """Operations per second of a bf16 matrix product."""
    side = side if device == 'cuda' else 512
    left, right = torch.randn(2, side, side, device=device).bfloat16()
    return 2 * side**3 / measure.seconds(lambda: left @ right)


def noise_batch(cfg, images, size):
    """A collated batch of noise, as the config's pipeline makes batches."""
    views = list(torch.randint(0, 256, (2, images, 3, size, size), dtype=torch.uint8))
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(images):
        sample = DataSample()
        corner, side = rng.uniform(0, 100, (2, 2)), rng.uniform(200, 300, (2, 1))
        boxes = np.concatenate([corner, side, side, rng.integers(0, 2, (2, 1))], 1)
        sample.set_metainfo(dict(view_boxes=boxes.astype(np.float32)))
        samples.append(sample)
    batch = dict(inputs=views, data_samples=samples)
    if cfg.model.type == 'mmcroc.HSG':
        batch['oversegmentation'] = draw_regions(images, size, 48).int().unflatten(0, (-1, 2))
    return batch


class Stopwatch:
    """Device time of a module's forward within the steps, by events."""

    def __init__(self, module):
        self.pairs = []
        # Not of what is compiled: a count that grows would be a constant of it.
        module.register_forward_pre_hook(torch.compiler.disable(self._start))
        module.register_forward_hook(torch.compiler.disable(self._stop))

    def _start(self, *_):
        self.pairs.append([self._now()])

    def _stop(self, *_):
        self.pairs[-1].append(self._now())

    @staticmethod
    def _now():
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def milliseconds(self):
        return min(start.elapsed_time(end) for start, end in self.pairs)


def row_of(path, images, compiled, args, peak):
    """A row of the table."""
    cuda = args.device == 'cuda'
    cfg = read_config(path, args.cfg_options)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    model.to(args.device).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 10**9)
    if compiled:
        torch.compiler.reset()  # an earlier row's size must not make this one's dynamic
        model.compile()
    # What a Runner's hook tells: CrOC takes no step without it.
    hub, iteration = MessageHub.get_current_instance(), count()
    hub.update_info_dict(dict(loop_stage='train', max_iters=10**9, epoch=1, max_epochs=10**3))
    batch = noise_batch(cfg, images, args.size)

    def step():
        hub.update_info('iter', next(iteration))
        model.train_step(batch, wrapper)

    generator = getattr(model, 'target_generator', None)
    watch = Stopwatch(generator) if cuda and generator is not None else None
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    with FlopCounterMode(display=False) as counter:  # of the eager step: compiling hides operations
        step() if not compiled else None
    if compiled:
        step()
    synchronise(args.device)
    first = time.perf_counter() - start
    for _ in range(5):
        step()
    synchronise(args.device)
    start = time.perf_counter()
    for _ in range(args.iters):
        step()
    synchronise(args.device)
    seconds = (time.perf_counter() - start) / args.iters
    if args.profile:
        with torch.profiler.profile() as profiler:
            step()
            synchronise(args.device)
        order = f'self_{args.device}_time_total'
        print(profiler.key_averages().table(sort_by=order, row_limit=20, max_name_column_width=50))
    rate = counter.get_total_flops() / seconds
    row = {'config': Path(path).stem, 'batch': images, 'compiled': compiled}
    row |= {'img/s': images / seconds, 'ms': 1e3 * seconds, 'flops': counter.get_total_flops()}
    row |= {'TFLOP/s': rate / 1e12, 'of peak': rate / peak, 'first step s': first}
    if cuda:
        row['GiB'] = torch.cuda.max_memory_allocated() / 2**30
        places = measure.host_waits(step)
        row['waits'], row['waiting'] = places.total(), dict(places)
        row['clustering ms'] = watch.milliseconds() if watch else None
    return row


def main():
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')  # not every parameter's initialisation
    peak = peak_flops(args.device)
    device = torch.cuda.get_device_name() if args.device == 'cuda' else 'cpu'
    print(f'{device}, torch {torch.__version__}, bf16 product {peak / 1e12:.0f} TFLOP/s')
    print(' '.join(f'{name:>13s}' for name in COLUMNS), flush=True)
    figures, eager, then = {'peak FLOP/s': peak}, {}, measure.earlier(args.json)
    for path in args.configs:
        sizes = [(images, False) for images in sorted({*args.batch_sizes, *args.compiled})]
        for images, compiled in [*sizes, *((images, True) for images in args.compiled)]:
            try:
                row = row_of(path, images, compiled, args, peak)
            except Exception as error:  # the other rows are worth having
                print(f'{Path(path).stem} batch {images}: {error!r:.300}', flush=True)
                continue
            eager.setdefault((path, images), row['flops'])
            row['flops'] = eager[path, images]
            row['TFLOP/s'] = row['flops'] / row['ms'] / 1e9
            row['of peak'] = row['TFLOP/s'] * 1e12 / peak
            name = f'{row["config"]}, {images} images{", compiled" if compiled else ""}'
            figures[name] = row
            measure.write(args.json, figures)  # a run that is cut short leaves what it has
            cells = [row.get(name) for name in COLUMNS]
            shown = [f'{c:.3g}' if isinstance(c, float) else str(c)[-13:] for c in cells]
            print(' '.join(f'{cell:>13s}' for cell in shown), flush=True)
            if row.get('waiting'):
                print(f'  host waits: {row["waiting"]}')
    measure.compare(then, figures)


if __name__ == '__main__':
    main()
