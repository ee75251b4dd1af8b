"""Time CrOC's online clustering against the backbone's forward.

    python tools/benchmarks/online_clustering.py [--device cuda] [--batch 32]

Prints a table: the teacher's forward, with and without the keys that are computed in float32 beside
it, and the clustering, eager and (--compile) compiled, all in this run. With --released FOLDER, a
checkout of the authors' code (github.com/stegmuel/CrOC), their clustering of the same tokens, too.
On a GPU it also counts how often the clustering makes the host wait.
"""

import importlib
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import measure
import torch
from mmengine.registry import init_default_scope

from mmcroc.croc.clustering import online_clustering
from mmcroc.registry import MODELS


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('--batch', type=int, default=8, help='images (two views each)')
    parser.add_argument('--arch', default='deit-small')
    parser.add_argument('--size', type=int, default=224, help='side of the views, pixels')
    parser.add_argument('--clusters', type=int, default=12, help='K_0 and K_max')
    parser.add_argument('--compile', action='store_true', help='time the compiled clustering too')
    parser.add_argument('--released', type=Path, help="checkout of the authors' code")
    return parser.parse_args()


def count_waits(function):
    """How often a function makes the host wait for the GPU."""
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            function()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)


def released_clustering(args, found, positions, seeds):
    """The authors' clustering of the same tokens from the same seeds, as a function."""
    sys.path.insert(0, str(args.released))
    Clustering = importlib.import_module('main_croc').Clustering
    heads = found.attention.shape[1]
    clustering = Clustering(
        SimpleNamespace(patch_size=1, n_centroids_max=args.clusters),
        args.clusters,
        sinkhorn_lambda=20.0,
        uniform_marginals=False,
        n_heads=heads,
    )
    keys = found.attention.flatten(0, 1)
    final = torch.cat([found.cls_token.unsqueeze(1), found.tokens], 1)
    side = round(positions.shape[-2] ** 0.5)
    maps = tuple(positions.mT.unflatten(-1, (side, side)))  # a pixel is a patch
    drawn = torch.Tensor.multinomial

    def cluster():
        torch.Tensor.multinomial = lambda *_, **__: seeds.flatten(0, 1)
        try:
            return clustering.compute_teacher_centroids(final, keys, maps)
        finally:
            torch.Tensor.multinomial = drawn

    return cluster


def main():
    args = parse_args()
    device = torch.device(args.device)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    backbone = MODELS.build(
        dict(type='mmcroc.VisionTransformer', arch=args.arch, img_size=args.size, patch_size=16)
    )
    backbone.init_weights()
    backbone.to(device).eval()
    images = torch.randn(2 * args.batch, 3, args.size, args.size, device=device)
    settings = dict(num_start_clusters=args.clusters, max_clusters=args.clusters)

    @torch.no_grad()
    def forward(feature='k'):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda'):
            return backbone.forward_tapped(images, feature)

    found = forward()
    keys = found.attention.unflatten(0, (2, -1))
    cls_keys, keys = keys[..., 0, :], keys[..., 1:, :]
    heads, tokens = keys.shape[2], 2 * keys.shape[-2]
    positions = torch.rand(2, args.batch, keys.shape[-2], 2, device=device) * 400
    seeds = torch.rand(args.batch, heads, tokens, device=device)
    seeds = seeds.topk(args.clusters, dim=-1).indices

    def cluster(drawn=seeds):
        return online_clustering(keys, cls_keys, positions, seeds=drawn, **settings)

    times = {
        f'{args.arch} forward, {2 * args.batch} views': measure.seconds(forward),
        'the same without float32 keys': measure.seconds(lambda: forward(None)),
        'clustering': measure.seconds(cluster),
    }
    if args.released:
        released = torch.no_grad()(released_clustering(args, found, positions, seeds))
        times['released clustering'] = measure.seconds(released)
        theirs, ours = released()[2], cluster().plans.flatten(1, 2)
        same = (theirs > 0) == (ours[..., : theirs.shape[-1]] > 0)
        print(f'entries that both keep, or neither: {same.float().mean().item():.4%}')
    if args.compile:
        times['compiled clustering'] = measure.seconds(torch.compile(cluster))
    print(
        f'\n{device}, {args.batch} images x {heads} heads, {tokens} tokens, {args.clusters} '
        f'clusters\n\n{"":42s}{"ms":>10s}{"x forward":>12s}'
    )
    first = next(iter(times.values()))
    for name, value in times.items():
        print(f'{name:42s}{1e3 * value:10.1f}{value / first:12.2f}')
    on_gpu = device.type == 'cuda'
    waits = count_waits(lambda: cluster(None)) if on_gpu else 'only counted on a GPU'
    print(f'\nhost waits in the clustering: {waits}')
    measure.record(args.json, {'ms': {name: 1e3 * value for name, value in times.items()}})


if __name__ == '__main__':
    main()
