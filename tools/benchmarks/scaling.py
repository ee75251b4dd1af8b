"""Time and memory on many GPUs, on paper: the tables of docs/scaling.md.

    python tools/benchmarks/scaling.py [--between 40] [--within 300]

Times of a step on one GPU, memory and the data pipeline's speed are measured figures of
docs/benchmarks.md; bytes are those of formulas that communication.py holds against counts; what
else a step takes on many GPUs is computed from the assumptions among the options.
"""

import argparse
import math
import pickle
import sys
from typing import NamedTuple

import measure
import torch
from mmengine.registry import init_default_scope

from mmcroc.config_files import read_config
from mmcroc.croc.algorithm import CrOC
from mmcroc.registry import MODELS

KINDS = ('all_reduce', 'all_gather', 'reduce_scatter')
NUM_VIEWS = 2
GPUS = (1, 8, 64, 512)
IMAGES = {'COCO': 118_287, 'ImageNet': 1_281_167, '10⁹': 10**9}
GIB = 1 << 30


class Measured(NamedTuple):
    """A training whose step was measured on one H100 (docs/benchmarks.md).

    Attributes:
        config: Its config.
        batch: Images of a GPU.
        milliseconds: Time of a step.
        memory: GPU memory, GiB.
        read: Images per second that a core reads (measured on another machine's).
        pixels: Pixels of a view's embedding.
    """

    config: str
    batch: int
    milliseconds: float
    memory: float
    read: float
    pixels: int = 0


MEASURED = dict(
    CrOC=Measured('mmcroc::croc_vit-s_coco.py', 128, 108, 14.1, 153),
    HSG=Measured('mmcroc::hsg_r50_coco_stage2.py', 6, 74.2, 5.0, 86, pixels=28 * 28),
)


class Collective(NamedTuple):
    """What ranks exchange in a step.

    Attributes:
        what: What it is.
        kind: One of ``KINDS``.
        bytes: Bytes that a rank hands in.
        calls: Number of calls that these are spread over.
    """

    what: str
    kind: str
    bytes: int
    calls: int = 1

    def sent(self, ranks: int) -> float:
        """Bytes that each rank sends, in a ring."""
        share = {'all_reduce': 2 / ranks, 'all_gather': 1, 'reduce_scatter': 1 / ranks}
        return (ranks - 1) * share[self.kind] * self.bytes


def collectives(model: torch.nn.Module, images: int, ranks: int) -> list[Collective]:
    """What a step of a model communicates, with so many images on each of so many ranks.

    Batch norms' statistics are left out (:func:`batch_norms`): only GPUs synchronise them.
    """
    if ranks == 1:
        return []
    gradients = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    # DistributedDataParallel: a first bucket of 1 MiB, then some of 25 MiB.
    buckets = 1 + math.ceil(max(gradients - 2**20, 0) / (25 * 2**20))
    found = [Collective('gradients', 'all_reduce', gradients, buckets)]
    if isinstance(model, CrOC):
        # Of each level the sum of logits, and the number of its rows.
        numbers = sum(center.numel() + 1 for center in model.head.buffers())
        found.append(Collective('centres', 'all_reduce', 4 * numbers))
        return found
    head, channels = model.head, _channels(model)
    places = images * head.max_segments
    found += [
        Collective('largest number of segments', 'all_reduce', 8 * ranks),
        Collective("segments' labels", 'all_reduce', 8 * ranks * places),
        *_gathered("segments' prototypes", places, channels, ranks),
    ]
    for groups in head.num_groups:
        centroids = images * groups
        found += [
            Collective('which centroids count', 'all_reduce', 8 * ranks * centroids),
            *_gathered("groups' centroids", centroids, channels, ranks),
        ]
    return found


def _channels(model: torch.nn.Module) -> int:
    """Channels of HSG's embedding."""
    return 2 * model.neck.position.row.embedding_dim


def _gathered(what: str, rows: int, channels: int, ranks: int) -> list[Collective]:
    """A differentiable all-gather of float32 rows, and its backward."""
    size = 4 * rows * channels
    return [
        Collective(what, 'all_gather', size),
        Collective(f'{what}, gradient', 'reduce_scatter', ranks * size),
    ]


def batch_norms(model: torch.nn.Module) -> list[Collective]:
    """What torch's SyncBatchNorm exchanges: mean, deviation, count; then two sums of gradients."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    channels, number = sum(norm.num_features for norm in norms), len(norms)
    return [
        Collective('batch norms', 'all_gather', 4 * (2 * channels + number), number),
        Collective('batch norms, gradient', 'all_reduce', 8 * channels, number),
    ]


def communication(found: list[Collective], ranks: int, args: argparse.Namespace) -> float:
    """Seconds of collectives, one after another and none of them behind the computation."""
    within = ranks <= args.gpus_per_machine
    bandwidth = 1e9 * (args.within if within else args.between)
    hops = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    return sum(1e-6 * args.latency * hops * c.calls + c.sent(ranks) / bandwidth for c in found)


def contrast(run: Measured, model: torch.nn.Module, ranks: int) -> tuple[int, float]:
    """Pixels x prototypes of HSG's contrast on one rank, and floating-point operations of these.

    A product of C channels is 2 C operations: one forward, once more backward, and two gradients.
    """
    pixels = run.batch * NUM_VIEWS * run.pixels
    entries = pixels * ranks * run.batch * model.head.max_segments
    return entries, 8 * _channels(model) * entries


def step(run: Measured, model: torch.nn.Module, ranks: int, args: argparse.Namespace) -> dict:
    """Seconds of a step and its parts, memory (GiB), sent (MB) and cores per GPU."""
    found = collectives(model, run.batch, ranks)
    alone = run.milliseconds / 1000
    parts = dict(alone=alone, contrast=0.0, memory=run.memory)
    if run.pixels:
        found += batch_norms(model) if ranks > 1 else []
        entries, operations = contrast(run, model, ranks)
        further = 1 - 1 / ranks  # that of one rank is in the measured step
        passes = 4 * args.passes * entries / (1e12 * args.gpu_memory)
        parts['contrast'] = further * (operations / (1e12 * args.gpu_flops) + passes)
        # Gathered prototypes, their gradient, and both in the order that products want.
        rows = (ranks - 1) * run.batch * model.head.max_segments
        parts['memory'] += 4 * 4 * rows * _channels(model) / GIB
    parts['communication'] = communication(found, ranks, args)
    parts['sent'] = sum(c.sent(ranks) for c in found) / 1e6
    parts['step'] = alone + parts['contrast'] + parts['communication']
    parts['cores'] = run.batch / parts['step'] / run.read
    return parts


def index_bytes() -> dict[str, int]:
    """Bytes that each process keeps of an image of the list, and of the order of an epoch.

    MMEngine keeps a list pickled, entry by entry, with an int64 of where each begins; the order of
    an epoch is a list of Python's numbers.
    """
    shard = 'data/shards/000123.tar'
    place = dict(shard=shard, offset=123_456_789, size=150_000)
    entries = {
        'a file': dict(img_path='data/images/000123/000123456.jpg'),
        'in a shard': dict(img_path=f'{shard}/000123456.jpg', **place),
    }
    kept = {name: len(pickle.dumps(entry, protocol=4)) + 8 for name, entry in entries.items()}
    return kept | {'the order': 8 + sys.getsizeof(10**9)}


class Clustering(NamedTuple):
    """Bytes of the clustering protocols for an image, of 28 x 28 tokens of 384 numbers.

    Attributes:
        tokens: In main memory: tokens in half precision, until all are there.
        plus_plus: On the device, ``clustering``: projections to 50 numbers, the same centred, their
            squares for a moment; labels and places of 64 bits, scores and norms of 32.
        leopart: On the device, ``clustering-leopart``: projections, labels, places, scores.
        everyone: On each rank, however many there are: ``clustering-leopart``'s table of which of
            all tokens are in the sample.
    """

    tokens: int
    plus_plus: int
    leopart: int
    everyone: int


def clustering_bytes(tokens: int = 28 * 28, channels: int = 384, dim: int = 50) -> Clustering:
    """Bytes of an image, see :class:`Clustering`."""
    of_token = 2 * channels, 3 * 4 * dim + 2 * 8 + 2 * 4, 4 * dim + 2 * 8 + 4, 8
    return Clustering(*(tokens * number for number in of_token))


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= size:
            return f'{seconds / size:.3g} {unit}'
    return f'{seconds:.3g} s'


def _gb(number: float) -> str:
    return f'{number / 1e9:.3g}' if number < 1e12 else f'{number / 1e9:,.0f}'


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def tables(args: argparse.Namespace) -> tuple[dict[str, str], dict]:
    """The page's tables by name, and their numbers."""
    steps, epochs, payloads, figures = [], [], [], {}
    for method, run in MEASURED.items():
        cfg = read_config(run.config)
        init_default_scope(cfg.default_scope)
        with torch.device('meta'):
            model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        for ranks in GPUS:
            here = figures[f'{method}, {ranks} GPUs'] = step(run, model, ranks, args)
            ms = [f'{1000 * here[name]:.3g}' for name in
                  ('step', 'alone', 'contrast', 'communication')]  # fmt: skip
            rate = ranks * run.batch / here['step']
            steps.append([method, str(ranks), *ms, f'{here["sent"]:,.0f}', f'{rate:,.0f}',
                          f'{here["memory"]:.1f}', f'{here["cores"]:.1f}'])  # fmt: skip
            times = []
            for name, number in IMAGES.items():
                here[f'epoch of {name}'] = number / rate
                times.append(f'{duration(number / rate)} ({number / ranks / run.batch:,.0f})')
            epochs.append([method, str(ranks), f'{ranks * run.batch:,}', *times])
        found = collectives(model, run.batch, 8) + (batch_norms(model) if run.pixels else [])
        payloads += [
            [method, c.what, c.kind, f'{c.bytes:,}', str(c.calls), f'{c.sent(8) / 1e6:,.3f}']
            for c in found
        ]
    kept, lists, protocols = index_bytes(), [], []
    for name, number in IMAGES.items():
        lists.append([name, *(_gb(number * size) for size in kept.values())])
    for name, number in dict({'VOC val': 1449, 'COCO val': 5000}, **IMAGES).items():
        sizes = clustering_bytes()
        protocols.append([name, *(_gb(number * size) for size in sizes)])
        figures[f'clustering, {name}'] = sizes._asdict()
    figures['list, bytes an image'] = kept
    return {
        'collectives': markdown(
            ['', 'what', 'kind', 'bytes', 'calls', 'MB sent, 8 GPUs'], payloads
        ),
        'step': markdown(
            ['', 'GPUs', 'step, ms', 'one GPU\'s', 'contrast', 'communication', 'MB sent',
             'images/s', 'GiB a GPU', 'cores a GPU'], steps
        ),
        'epoch': markdown(['', 'GPUs', 'batch', *IMAGES], epochs),
        'list': markdown(
            ['images', 'files, GB', 'in shards, GB', 'order of an epoch, GB'], lists
        ),
        'clustering': markdown(
            ['images', 'tokens, GB', '`clustering`, GB', '`clustering-leopart`, GB',
             'each rank besides, GB'], protocols
        ),
    }, figures  # fmt: skip


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = measure.parser_of(__doc__)
    parser.add_argument('--within', type=float, default=300, help='GB/s a GPU sends in a machine')
    parser.add_argument('--between', type=float, default=40, help='GB/s, between machines')
    parser.add_argument('--gpus-per-machine', type=int, default=8)
    parser.add_argument('--latency', type=float, default=10, help='of a collective, µs times log2')
    parser.add_argument('--gpu-flops', type=float, default=40, help='float32 products, TFLOP/s')
    parser.add_argument('--gpu-memory', type=float, default=2.5, help='bandwidth, TB/s')
    parser.add_argument('--passes', type=float, default=11, help='over pixels x prototypes')
    return parser.parse_args(argv)


def main() -> None:
    args = parse_args()
    found, figures = tables(args)
    print('\n\n'.join(found.values()))
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
