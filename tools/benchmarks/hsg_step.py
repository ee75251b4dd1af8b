"""Time the parts of a step of HSG.

    python tools/benchmarks/hsg_step.py [--device cuda] [--crop 448] [--images 6]

Prints a table of time and peak memory: the backbone, each part of the losses, the whole step with
its backward. Memory is the GPU's peak, or on a CPU the process's highest resident set during the
part.
"""

import measure
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmcroc.hsg.modularity import neighbour_graph
from mmcroc.hsg.segments import segment_means, segment_prototypes
from mmcroc.registry import MODELS


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.add_argument('--images', type=int, default=6, help='images (two views each)')
    parser.add_argument('--crop', type=int, default=448, help='side of the views, pixels')
    parser.add_argument('--regions', type=int, default=48, help='regions of an over-segmentation')
    parser.add_argument('--max-segments', type=int, default=256)
    return parser.parse_args()


def build(args):
    """ResNet-50 of output stride 16, neck and head, in training but without dropout."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    resnet = dict(
        type='mmseg.ResNet', depth=50, out_indices=(3,), strides=(1, 2, 2, 1),
        # multi_grid replaces the last stage's dilation, block by block.
        dilations=(1, 1, 1, 1), multi_grid=(1, 4, 8), norm_cfg=dict(type='BN'),
    )  # fmt: skip
    transformer = dict(dropout=0.0)
    head = dict(type='mmcroc.HSGHead', transformer=transformer, max_segments=args.max_segments)
    parts = [MODELS.build(cfg) for cfg in (resnet, dict(type='mmcroc.HSGNeck'), head)]
    return torch.nn.ModuleList(parts).to(args.device)


def draw_regions(images, size, number):
    """Voronoi cells of random points, cut differently in the two views: (2·images, size, size)."""
    generator = torch.Generator().manual_seed(0)
    # Points of an area twice a view's: a view sees the cells of a crop.
    points = torch.rand(images, number, 2, generator=generator) * 1.4 * size
    corners = torch.rand(images, 2, 1, 2, generator=generator) * 0.4 * size
    axis = torch.arange(size, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing='ij'), -1).flatten(0, 1)
    cells = [
        torch.cdist(grid + corner, p).argmin(1).view(size, size)
        for p, pair in zip(points, corners, strict=True)
        for corner in pair
    ]
    return torch.stack(cells)


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def main():
    args = parse_args()
    backbone, neck, head = build(args)
    images = torch.randn(2 * args.images, 3, args.crop, args.crop, device=args.device)
    regions = draw_regions(args.images, args.crop, args.regions).to(args.device)
    print(f'\n{args.device}, {args.images} images x 2 views of {args.crop} x {args.crop}\n')
    print(f'{"":36s}{"ms":>10s}{"x backbone":>12s}{"peak MiB":>10s}')
    times, figures = [], {}

    def row(name, function):
        """Measure a part; gives what it returned."""
        memory, found = measure.peak(function, args.device)
        times.append(measure.seconds(function))
        share = times[-1] / times[0]
        figures[name] = {'ms': 1e3 * times[-1], 'peak MiB': memory}
        print(f'{name:36s}{1e3 * times[-1]:10.1f}{share:12.2f}{memory:10.0f}', flush=True)
        return found

    @torch.no_grad()
    def embed():
        return neck(backbone(images))

    embedding = row('backbone and neck', embed)
    position = neck.position(*embedding.shape[-2:]).detach()
    pixels = F.normalize(embedding, dim=1).flatten(2).mT.unflatten(0, (-1, 2)).flatten(1, 2)

    @torch.no_grad()
    def segment():
        segments = head.segment(embedding, regions)
        where = position.flatten(1).mT.repeat(2, 1).expand_as(pixels)
        return segments, segment_prototypes(pixels, segments), segment_means(where, segments)

    segments, nodes, where = row('segments and their prototypes', segment)

    @torch.no_grad()
    def group():
        neighbour_graph(nodes, segments.mask, head.num_neighbours, segments.view)
        return head.group(nodes, where, segments.mask)

    row('clustering transformers, graph', group)

    def losses():
        leaf = embedding.detach().requires_grad_()
        total(head.loss(leaf, regions, position)).backward()

    def step():
        found = neck(backbone(images))
        total(head.loss(found, regions, neck.position(*found.shape[-2:]))).backward()

    with torch.no_grad():
        row('all of the losses, forward', lambda: head.loss(embedding, regions, position))
    row('all of the losses, with backward', losses)
    row('whole step, forward and backward', step)
    print(f'\n{segments.counts.float().mean():.0f} segments per image')
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
