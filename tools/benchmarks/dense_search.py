"""Time of hummingbird's exact search beside faiss's flat inner-product index, for the same work.

The memory is a file of random unit vectors in half precision, mapped; the queries are an image's.
mmcroc searches the file as it is. faiss searches the same numbers in single precision, slice by
slice, since all of them would take twice the room; its time is that of its searches alone, and
beside it that with conversion and copying into the index. Both find the same rows but for equal
products.

    python tools/benchmarks/dense_search.py --rows 1_000_000
    python tools/benchmarks/dense_search.py                     # VOC: 10,240,000 rows, 7.9 GB
"""

import os
import resource
import tempfile
import time

import measure
import torch
from torch.nn import functional as F

from mmcroc.command_line import parser_of
from mmcroc.numerics.inner_product_search import greatest_products

SLICE = 2**18


def parse_args():
    parser = parser_of(__doc__)
    parser.add_argument('--rows', type=int, default=10_240_000, help='vectors in the memory')
    parser.add_argument('--dim', type=int, default=384)
    parser.add_argument('--queries', type=int, default=1024)
    parser.add_argument('--num-neighbours', type=int, default=30)
    parser.add_argument('--folder', help='where the file of the memory is made for the time')
    parser.add_argument('--repeats', type=int, default=1, help='the least time counts')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', default='cpu', help="of mmcroc's search")
    parser.add_argument(
        '--libraries', nargs='+', default=list(RUNS), choices=list(RUNS), help='which to run'
    )
    return measure.add_json(parser).parse_args()


def random_units(rows, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, dim, generator=generator), dim=1)


def mapped_memory(path, args):
    """The memory, written slice by slice."""
    size = args.rows * args.dim
    memory = torch.from_file(path, shared=True, size=size, dtype=torch.float16)
    memory = memory.view(args.rows, args.dim)
    for seed, part in enumerate(memory.split(SLICE)):
        part.copy_(random_units(*part.shape, seed + 1))
    return memory


def run_mmcroc(queries, memory, args):
    began = time.perf_counter()
    _, places = greatest_products(queries.to(args.device), memory, args.num_neighbours)
    places = places[0].cpu()
    seconds = time.perf_counter() - began
    return places, seconds, seconds


def run_faiss(queries, memory, args):
    import faiss

    faiss.omp_set_num_threads(args.threads)
    best = torch.empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.long)
    began, searching = time.perf_counter(), 0.0
    for start in range(0, len(memory), SLICE):
        index = faiss.IndexFlatIP(args.dim)
        index.add(memory[start : start + SLICE].float().numpy())
        before = time.perf_counter()
        products, found = index.search(queries.numpy(), args.num_neighbours)
        searching += time.perf_counter() - before
        best = torch.cat([best, torch.from_numpy(products)], 1)
        places = torch.cat([places, torch.from_numpy(found) + start], 1)
        best, order = best.topk(args.num_neighbours, dim=1)
        places = places.gather(1, order)
    return places, searching, time.perf_counter() - began


RUNS = {'mmcroc': run_mmcroc, 'faiss': run_faiss}


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    queries = random_units(args.queries, args.dim, 0)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        memory = mapped_memory(os.path.join(folder, 'memory'), args)
        print(
            f'{args.queries:,} queries, {args.rows:,} x {args.dim} in float16, '
            f'{args.num_neighbours} neighbours, {args.threads} threads, mmcroc on {args.device}'
        )
        print(f'{"library":<8} {"search":>9} {"with copies":>12} {"peak so far":>12}')
        times, found, figures = {}, {}, {}
        for name in args.libraries:
            runs = [RUNS[name](queries, memory, args) for _ in range(args.repeats)]
            found[name] = runs[0][0].sort(1).values
            times[name] = min(run[1] for run in runs)
            whole = min(run[2] for run in runs)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            figures[name] = {'search, s': times[name], 'with copies, s': whole, 'GiB so far': peak}
            print(f'{name:<8} {times[name]:8.1f}s {whole:11.1f}s {peak:9.1f}GiB')
    if len(found) == 2:
        same = (found['faiss'] == found['mmcroc']).float().mean()
        print(f'mmcroc takes {times["mmcroc"] / times["faiss"]:.2f} of the time of faiss, '
              f'{100 * same:.3f} % of the neighbours agree')  # fmt: skip
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
