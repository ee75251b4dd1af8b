"""Time and inertia of mmcroc's k-means beside scikit-learn's and faiss's, for the same work.

The default is the clustering evaluation on VOC val: 1449 images of 28 x 28 tokens, reduced to 50
dimensions, 21 clusters, 100 iterations, best of 5 restarts.

    python tools/benchmarks/kmeans.py --num-restarts 1
    python tools/benchmarks/kmeans.py --sampled --num-clusters 500 --libraries mmcroc faiss
    python tools/benchmarks/kmeans.py --features tokens.npy --libraries mmcroc faiss
"""

import time

import measure
import numpy as np
import torch

from mmcroc.numerics.faiss_kmeans import faiss_kmeans
from mmcroc.numerics.kmeans import kmeans

VOC_VAL_TOKENS = 1449 * 28 * 28


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.set_defaults(device='cpu')  # of mmcroc's run
    parser.add_argument('--features', help='.npy of (tokens, dims); default: made at random')
    parser.add_argument('--num-points', type=int, default=VOC_VAL_TOKENS)
    parser.add_argument('--dim', type=int, default=50)
    parser.add_argument('--num-clusters', type=int, default=21)
    parser.add_argument('--num-iterations', type=int, default=100)
    parser.add_argument('--num-restarts', type=int, default=5)
    parser.add_argument('--max-init-points', type=int, help='of mmcroc; default: all')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--sampled', action='store_true', help="faiss's own algorithm on both "
                        'sides: random starts, trained on 256 K points')  # fmt: skip
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--libraries', nargs='+', default=list(RUNS), choices=list(RUNS))
    return parser.parse_args()


def random_tokens(num_points, dim, seed):
    """Overlapping blobs of unlike sizes with decaying variances, as PCA leaves features."""
    rng = np.random.default_rng(seed)
    scale = (1 + np.arange(dim)) ** -0.5
    centres = rng.normal(size=(60, dim)) * scale
    blob = rng.choice(60, size=num_points, p=rng.dirichlet(np.full(60, 2.0)))
    points = rng.standard_normal((num_points, dim), dtype=np.float32) * scale.astype(np.float32)
    return points + centres[blob].astype(np.float32)


def run_mmcroc(points, args):
    names = ('num_iterations', 'num_restarts', 'seed')
    settings = {name: getattr(args, name) for name in names}
    if not args.sampled:
        settings['max_init_points'] = args.max_init_points
    run = faiss_kmeans if args.sampled else kmeans
    result = run(torch.from_numpy(points).to(args.device), args.num_clusters, **settings)
    return result.inertia.item(), result.num_iterations


def run_sklearn(points, args):
    from sklearn.cluster import KMeans

    settings = dict(n_init=args.num_restarts, max_iter=args.num_iterations, random_state=args.seed)
    result = KMeans(args.num_clusters, tol=0, **settings).fit(points)
    return result.inertia_, result.n_iter_


def run_faiss(points, args):
    import faiss

    faiss.omp_set_num_threads(args.threads)
    settings = dict(niter=args.num_iterations, nredo=args.num_restarts, seed=args.seed)
    if not args.sampled:
        settings['max_points_per_centroid'] = len(points)
    run = faiss.Kmeans(points.shape[1], args.num_clusters, **settings)
    objective = run.train(points)
    distances, _ = run.index.search(points, 1)
    inertia = float(objective) if args.sampled else float(distances.sum(dtype=np.float64))
    return inertia, args.num_iterations


RUNS = {'mmcroc': run_mmcroc, 'scikit-learn': run_sklearn, 'faiss': run_faiss}


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    if args.features:
        points = np.load(args.features).astype(np.float32)
    else:
        points = random_tokens(args.num_points, args.dim, args.seed)
    print(
        f'{points.shape[0]:,} points x {points.shape[1]} dims, K={args.num_clusters}, at most '
        f'{args.num_iterations} iterations, {args.num_restarts} restarts, {args.threads} threads, '
        f'mmcroc on {args.device}'
    )
    print(f'{"library":<14} {"seconds":>8} {"inertia":>14} {"iterations":>11}')
    figures = {}
    for name in args.libraries:
        start = time.perf_counter()
        try:
            inertia, iterations = RUNS[name](points, args)
        except ImportError as error:
            print(f'{name:<14} not installed: {error}')
            continue
        seconds = time.perf_counter() - start
        print(f'{name:<14} {seconds:8.1f} {inertia:14.6g} {iterations:11d}')
        figures[name] = dict(seconds=seconds, inertia=inertia, iterations=iterations)
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
