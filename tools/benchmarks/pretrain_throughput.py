"""Images per second of pretraining: model step alone, data alone, and both together.

    python tools/benchmarks/pretrain_throughput.py CONFIG [--data-root PATH] [--iters 20]

Without --data-root, configs that read images get a temporary folder of synthetic photographs of
640 x 480 px. Runs on one process, CPU or GPU; prints a table and the peak memory.
"""

import argparse
import resource
import tempfile
import time
from itertools import count, cycle, islice

import torch
from data_pipeline import make_photos
from mmengine.config import DictAction
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcroc.config_files import read_config
from mmcroc.registry import MODELS

GIB = 2**30


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--data-root', help='images to read; synthetic photographs by default')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--iters', type=int, default=10, help='iterations timed, after 3 more')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--num-workers', type=int)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def load_config(args, folder):
    """The config with its data taken from the command line or made up."""
    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
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


def endless(loader):
    while True:
        yield from loader


def rate(step, items, warmup, iters, images, device):
    """Images per second of a step over items."""
    items = iter(items)
    for item in islice(items, warmup):
        step(item)
    synchronise(device)
    start = time.perf_counter()
    for item in islice(items, iters):
        step(item)
    synchronise(device)
    return iters * images / (time.perf_counter() - start)


def synchronise(device):
    if device.type == 'cuda':
        torch.cuda.synchronize()


def main():
    args = parse_args()
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(args, folder)
        init_default_scope(cfg.default_scope)
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        model.init_weights()
        model.to(device).train()
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        wrapper.initialize_count_status(model, 0, 10**9)
        images, warmup = loader.batch_size, 3
        batch = next(iter(loader))

        # What a Runner's hook tells: CrOC takes no step without it.
        hub, iteration = MessageHub.get_current_instance(), count()
        told = dict(loop_stage='train', max_iters=10**9, epoch=1, max_epochs=10**3)
        hub.update_info_dict(told)

        def step(data):
            hub.update_info('iter', next(iteration))
            model.train_step(data, wrapper)

        timing = dict(warmup=warmup, iters=args.iters, images=images, device=device)
        rates = {
            'model step alone': rate(step, cycle([batch]), **timing),
            'data alone': rate(lambda data: None, endless(loader), **timing),
            'both': rate(step, endless(loader), **timing),
        }
    print(
        f'\n{args.config} on {device}: batch {images}, {cfg.train_dataloader.num_workers} workers, '
        f'{torch.get_num_threads()} threads, autocast {wrapper.amp_dtype}\n'
    )
    print(f'{"":20s}{"images/s":>10s}{"ms/batch":>10s}')
    for name, value in rates.items():
        print(f'{name:20s}{value:10.1f}{1e3 * images / value:10.1f}')
    print(f'\npeak memory: {peak_memory(device)}')


def peak_memory(device):
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shown = f'{host:.2f} GiB of host memory (this process)'
    if device.type == 'cuda':
        shown = f'{torch.cuda.max_memory_allocated(device) / GIB:.2f} GiB of GPU memory, {shown}'
    return shown


if __name__ == '__main__':
    main()
