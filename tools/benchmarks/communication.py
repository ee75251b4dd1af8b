"""Bytes that a training step communicates: counted on ranks of this machine, beside the formulas'.

    python tools/benchmarks/communication.py [--ranks 1 2 4]

Starts so many gloo processes and lets each take steps of the tiny configs of CrOC and HSG under
DistributedDataParallel, on noise. Every collective passes torch's dispatcher on its way to the
process group, whoever asked for it; there it is counted, with the bytes that the rank hands in. The
formulas are those of scaling.py, which makes the tables of docs/scaling.md from them.
"""

import contextlib
import os
import tempfile
import warnings
from collections import Counter
from itertools import count

import measure
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from scaling import KINDS, collectives
from torch import distributed as dist
from torch import multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_step import noise_batch

from mmcroc.config_files import read_config
from mmcroc.registry import MODELS

#: Tiny configs, and the side of their views. The number of places for segments is given: a batch
#: otherwise asks for as many as it needs.
CONFIGS = dict(
    CrOC=('mmcroc::croc_vit-t_scenes.py', {}, 64),
    HSG=('mmcroc::hsg_r18_scenes.py', {'model.head.max_segments': 256}, 96),
)
#: Steps after which DistributedDataParallel has arranged its buckets.
WARMUP = 2


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('--ranks', type=int, nargs='+', default=[1, 2, 4])
    parser.add_argument('--images', type=int, default=2, help='images (two views each) of a rank')
    return parser.parse_args()


class Counted(TorchDispatchMode):
    """Collectives while it is entered: bytes that this rank hands in, by kind."""

    #: Operation of the dispatcher: its kind, and where its tensors are among the arguments. gloo
    #: has no reduce-scatter: torch takes a scatter of each rank instead, of which a rank gets as
    #: many bytes as it would hand in to a reduce-scatter.
    OPERATIONS = dict(
        allreduce_=('all_reduce', 0), allgather_=('all_gather', 1), scatter_=('reduce_scatter', 0)
    )  # fmt: skip

    def __init__(self):
        super().__init__()
        self.bytes = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == 'c10d':
            kind, place = self.OPERATIONS[function._opname]
            tensors = [x for x in tree_leaves(args[place]) if isinstance(x, torch.Tensor)]
            self.bytes[kind] += sum(x.numel() * x.element_size() for x in tensors)
        return function(*args, **(kwargs or {}))


def rank_main(rank, ranks, images, folder):
    """Take steps of each method, count the last, and leave counts and formulas in a file."""
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    if ranks > 1:
        dist.init_process_group('gloo', f'file://{folder}/meet', rank=rank, world_size=ranks)
    MMLogger.get_instance('benchmark', log_level='ERROR')
    found = {}
    for method, (config, options, size) in CONFIGS.items():
        cfg = read_config(config, options)
        init_default_scope(cfg.default_scope)
        torch.manual_seed(rank)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
        model.init_weights()
        trained = MMDistributedDataParallel(model, broadcast_buffers=False) if ranks > 1 else model
        wrapper = build_optim_wrapper(trained, cfg.optim_wrapper)
        wrapper.initialize_count_status(trained, 0, 10**9)
        # What a Runner's hook tells: CrOC takes no step without it.
        hub, iteration = MessageHub.get_current_instance(), count()
        hub.update_info_dict(dict(loop_stage='train', max_iters=10**9, epoch=1, max_epochs=10**3))
        batch = noise_batch(cfg, images, size)
        for counted in (*[contextlib.nullcontext()] * WARMUP, Counted()):
            hub.update_info('iter', next(iteration))
            with counted:
                trained.train_step(batch, wrapper)
        formula = Counter()
        for one in collectives(model, images, ranks):
            formula[one.kind] += one.bytes
        found[method] = dict(counted=dict(counted.bytes), formula=dict(formula))
    if rank == ranks - 1:
        torch.save(found, f'{folder}/found.pth')
    if ranks > 1:
        dist.destroy_process_group()


def count_on(ranks, images):
    """Bytes of a step by method, source (counted, formula) and kind, on the last rank."""
    with tempfile.TemporaryDirectory() as folder:
        # Forked: to import torch and the mm packages again takes longer than the steps.
        multiprocessing.start_processes(
            rank_main, (ranks, images, folder), nprocs=ranks, start_method='fork'
        )
        return torch.load(os.path.join(folder, 'found.pth'), weights_only=True)


def main():
    args = parse_args()
    figures = {}
    print(f'{"bytes of a step that a rank hands in":40s}{"counted":>14s}{"formula":>14s}')
    for ranks in args.ranks:
        for method, found in count_on(ranks, args.images).items():
            counted, formula = found['counted'], found['formula']
            for kind in KINDS:
                name = f'{method}, {ranks} ranks, {kind}'
                mine, theirs = counted.get(kind, 0), formula.get(kind, 0)
                print(f'{name:40s}{mine:14,d}{theirs:14,d}', flush=True)
                figures[name] = dict(counted=mine, formula=theirs)
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
