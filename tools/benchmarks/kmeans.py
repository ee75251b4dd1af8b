"""Time and inertia of mmcroc's k-means beside scikit-learn's and faiss's, for the same work.

The default is the clustering evaluation on VOC val: 1449 images of 28 x 28 tokens, reduced to 50
dimensions, 21 clusters, 100 iterations, best of 5 restarts.

    python tools/benchmarks/kmeans.py --num-restarts 1
    python tools/benchmarks/kmeans.py --features tokens.npy --libraries mmcroc faiss
"""

import argparse
import time

import numpy as np
import torch

from mmcroc.numerics.kmeans import kmeans

VOC_VAL_TOKENS = 1449 * 28 * 28


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--features', help='.npy of (tokens, dims); default: made at random')
    parser.add_argument('--num-points', type=int, default=VOC_VAL_TOKENS)
    parser.add_argument('--dim', type=int, default=50)
    parser.add_argument('--num-clusters', type=int, default=21)
    parser.add_argument('--num-iterations', type=int, default=100)
    parser.add_argument('--num-restarts', type=int, default=5)
    parser.add_argument('--max-init-points', type=int, help='of mmcroc; default: all')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', default='cpu', help="of mmcroc's run")
    parser.add_argument(
        '--libraries', nargs='+', default=list(RUNS), choices=list(RUNS), help='which to run'
    )
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
    points = torch.from_numpy(points).to(args.device)
    result = kmeans(
        points,
        args.num_clusters,
        num_iterations=args.num_iterations,
        num_restarts=args.num_restarts,
        max_init_points=args.max_init_points,
        seed=args.seed,
    )
    return result.inertia.item(), result.num_iterations


def run_sklearn(points, args):
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        return 'not installed: pip install scikit-learn'
    result = KMeans(
        args.num_clusters,
        n_init=args.num_restarts,
        max_iter=args.num_iterations,
        tol=0,
        random_state=args.seed,
    ).fit(points)
    return result.inertia_, result.n_iter_


def run_faiss(points, args):
    try:
        import faiss
    except ImportError:
        return 'not installed: pip install faiss-cpu'
    faiss.omp_set_num_threads(args.threads)
    run = faiss.Kmeans(
        points.shape[1],
        args.num_clusters,
        niter=args.num_iterations,
        nredo=args.num_restarts,
        seed=args.seed,
        max_points_per_centroid=len(points),  # faiss clusters a sample of 256 K otherwise
    )
    run.train(points)
    distances, _ = run.index.search(points, 1)
    return float(distances.sum(dtype=np.float64)), args.num_iterations


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
    for name in args.libraries:
        start = time.perf_counter()
        outcome = RUNS[name](points, args)
        seconds = time.perf_counter() - start
        if isinstance(outcome, str):
            print(f'{name:<14} {outcome}')
        else:
            print(f'{name:<14} {seconds:8.1f} {outcome[0]:14.6g} {outcome[1]:11d}')


if __name__ == '__main__':
    main()
