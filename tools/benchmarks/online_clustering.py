"""Time CrOC's online clustering against the backbone's forward.

    python tools/benchmarks/online_clustering.py [--device cuda] [--batch 32]

Prints a table: the teacher's forward, with and without the keys that are computed in float32 beside
it, and the clustering, all in this run. On a GPU it also counts how often the clustering makes the
host wait.
"""

import warnings

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

    keys = forward().attention.unflatten(0, (2, -1))
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


if __name__ == '__main__':
    main()
