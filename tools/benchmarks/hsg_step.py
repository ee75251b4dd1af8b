"""Time the parts of a step of HSG.

    python tools/benchmarks/hsg_step.py [--device cuda] [--crop 448] [--images 6]

Prints a table of time and peak memory: the backbone, each part of the losses, the whole step with
its backward. Memory is the GPU's peak, or on a CPU the process's highest resident set during the
part.
"""

import argparse
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmcroc.hsg.head import HSGHead
from mmcroc.hsg.modularity import neighbour_graph
from mmcroc.hsg.neck import HSGNeck
from mmcroc.hsg.segments import segment_means, segment_prototypes
from mmcroc.registry import MODELS

MIB = 1 << 20


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--images', type=int, default=6, help='images (two views each)')
    parser.add_argument('--crop', type=int, default=448, help='side of the views, pixels')
    parser.add_argument('--regions', type=int, default=48, help='regions of an over-segmentation')
    parser.add_argument('--max-segments', type=int, default=256)
    parser.add_argument('--repeats', type=int, default=3)
    return parser.parse_args()


def build(args):
    """ResNet-50 of output stride 16, neck and head, in training but without dropout."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    backbone = MODELS.build(
        dict(
            type='mmseg.ResNet', depth=50, out_indices=(3,), strides=(1, 2, 2, 1),
            # multi_grid replaces the last stage's dilation, block by block.
            dilations=(1, 1, 1, 1), multi_grid=(1, 4, 8), norm_cfg=dict(type='BN'),
        )
    )  # fmt: skip
    head = HSGHead(transformer=dict(dropout=0.0), max_segments=args.max_segments)
    return torch.nn.ModuleList([backbone, HSGNeck(), head]).to(args.device)


def draw_regions(images, size, number, seed=0):
    """Voronoi cells of random points, cut differently in the two views: (2·images, size, size)."""
    generator = torch.Generator().manual_seed(seed)
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


class Meter:
    """Best time and peak memory of calls; a line for each, as soon as it is known.

    Args:
        device: Where they run.
        repeats: Calls of each, after one to warm up.
    """

    def __init__(self, device, repeats):
        self.device, self.repeats = torch.device(device), repeats
        self.first = None

    def __call__(self, name, function):
        """Seconds, and what the last call returned."""
        function()
        times, peak = [], 0
        for _ in range(self.repeats):
            with _Peak(self.device) as memory:
                start = time.perf_counter()
                found = function()
                memory.synchronise()
                times.append(time.perf_counter() - start)
            peak = max(peak, memory.mib)
        self.first = self.first or min(times)
        share = min(times) / self.first
        print(f'{name:36s}{1e3 * min(times):10.1f}{share:12.2f}{peak:10.0f}', flush=True)
        return min(times), found


class _Peak:
    """Highest memory in use inside the block: the GPU's, or the process's resident set."""

    def __init__(self, device):
        self.cuda, self.mib = device.type == 'cuda', 0.0

    def synchronise(self):
        if self.cuda:
            torch.cuda.synchronize()

    def __enter__(self):
        self.synchronise()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            self.ended = threading.Event()
            self.thread = threading.Thread(target=self._watch, daemon=True)
            self.thread.start()
        return self

    def _watch(self):
        while not self.ended.wait(0.01):
            pages = int(Path('/proc/self/statm').read_text().split()[1])
            self.mib = max(self.mib, pages * 4096 / MIB)

    def __exit__(self, *_):
        if self.cuda:
            self.mib = torch.cuda.max_memory_allocated() / MIB
        else:
            self.ended.set()
            self.thread.join()


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def main():
    args = parse_args()
    backbone, neck, head = build(args)
    meter = Meter(args.device, args.repeats)
    images = torch.randn(2 * args.images, 3, args.crop, args.crop, device=args.device)
    regions = draw_regions(args.images, args.crop, args.regions).to(args.device)

    @torch.no_grad()
    def embed():
        return neck(backbone(images))

    print(f'\n{args.device}, {args.images} images x 2 views of {args.crop} x {args.crop}\n')
    print(f'{"":36s}{"ms":>10s}{"x backbone":>12s}{"peak MiB":>10s}')
    _, embedding = meter('backbone and neck', embed)
    position = neck.position(*embedding.shape[-2:]).detach()
    pixels = F.normalize(embedding, dim=1).flatten(2).mT.unflatten(0, (-1, 2)).flatten(1, 2)

    @torch.no_grad()
    def segment():
        segments = head.segment(embedding, regions)
        where = position.flatten(1).mT.repeat(2, 1).expand_as(pixels)
        return segments, segment_prototypes(pixels, segments), segment_means(where, segments)

    _, (segments, nodes, where) = meter('segments and their prototypes', segment)

    @torch.no_grad()
    def group():
        neighbour_graph(nodes, segments.mask, head.num_neighbours, segments.view)
        return head.group(nodes, where, segments.mask)

    meter('clustering transformers, graph', group)

    def losses():
        leaf = embedding.detach().requires_grad_()
        total(head.loss(leaf, regions, position)).backward()

    def step():
        total(
            head.loss(neck(backbone(images)), regions, neck.position(*embedding.shape[-2:]))
        ).backward()

    with torch.no_grad():
        meter('all of the losses, forward', lambda: head.loss(embedding, regions, position))
    meter('all of the losses, with backward', losses)
    meter('whole step, forward and backward', step)

    per_image = segments.counts.float().mean().item()
    print(f'\n{per_image:.0f} segments per image')


if __name__ == '__main__':
    main()
