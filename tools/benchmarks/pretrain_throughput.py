"""Images per second of pretraining: model step alone, data alone, and both together.

    python tools/benchmarks/pretrain_throughput.py CONFIG [--data-root PATH] [--iters 20]

Without --data-root, configs that read images get a temporary folder of synthetic photographs of
640 x 480 px. Runs on one process, CPU or GPU; prints a table and the peak memory.
"""

import tempfile
import time
from itertools import chain, count, cycle, islice, repeat

import measure
import torch
from data_pipeline import make_photos
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcroc.config_files import ConfigOptions, read_config
from mmcroc.registry import MODELS

WARMUP = 3


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('config')
    parser.add_argument('--data-root', help='images to read; synthetic photographs by default')
    parser.add_argument('--iters', type=int, default=10, help=f'timed, after {WARMUP} more')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--num-workers', type=int)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={})
    return parser.parse_args()


def load_config(args, folder):
    """The config with its data taken from the command line or made up."""
    cfg = read_config(args.config, args.cfg_options)
    loader = cfg.train_dataloader
    if args.batch_size:
        loader.batch_size = args.batch_size
    if args.num_workers is not None:
        loader.num_workers = args.num_workers
        loader.persistent_workers = args.num_workers > 0
    loader.pin_memory = args.device.startswith('cuda')
    if 'data_root' in loader.dataset:
        if args.data_root is None:
            make_photos(folder)
            # The same few files many times over: what is measured is reading, not variety.
            loader.dataset.update(data_root=folder, folders=None, ann_file='')
            loader.dataset = dict(type='RepeatDataset', times=10000, dataset=loader.dataset)
        else:
            loader.dataset.data_root = args.data_root
    return cfg


def seconds(step, items, iters, device):
    """Time of a step over items, after some to warm up."""
    items = iter(items)

    def run(number):
        for item in islice(items, number):
            step(item)
        if device.type == 'cuda':
            torch.cuda.synchronize()

    run(WARMUP)
    start = time.perf_counter()
    run(iters)
    return (time.perf_counter() - start) / iters


def measure_all(args, cfg, device):
    """Seconds per batch of each part, and the optimiser wrapper's type of autocast."""
    init_default_scope(cfg.default_scope)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    model.to(device).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    wrapper.initialize_count_status(model, 0, 10**9)
    # What a Runner's hook tells: CrOC takes no step without it.
    hub, iteration = MessageHub.get_current_instance(), count()
    hub.update_info_dict(dict(loop_stage='train', max_iters=10**9, epoch=1, max_epochs=10**3))

    def step(data):
        hub.update_info('iter', next(iteration))
        model.train_step(data, wrapper)

    def endless():
        return chain.from_iterable(repeat(loader))

    parts = {
        'model step alone': (step, cycle([next(iter(loader))])),
        'data alone': (lambda data: None, endless()),
        'both': (step, endless()),
    }
    times = {name: seconds(*part, args.iters, device) for name, part in parts.items()}
    return times, wrapper.amp_dtype


def main():
    args = parse_args()
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args, folder)
        memory, (times, autocast) = measure.peak(
            lambda: measure_all(args, cfg, device), args.device
        )
    loader = cfg.train_dataloader
    print(
        f'\n{args.config} on {device}: batch {loader.batch_size}, {loader.num_workers} workers, '
        f'{torch.get_num_threads()} threads, autocast {autocast}\n'
    )
    print(f'{"":20s}{"images/s":>10s}{"ms/batch":>10s}')
    for name, value in times.items():
        print(f'{name:20s}{loader.batch_size / value:10.1f}{1e3 * value:10.1f}')
    print(f'\npeak memory: {memory / 1024:.2f} GiB ({device.type}, this process)')
    figures = {'ms a batch': {name: 1e3 * value for name, value in times.items()}}
    measure.record(args.json, figures | {'peak MiB': memory})


if __name__ == '__main__':
    main()
