"""Time HSG's losses beside the authors' code, forward and backward, in one run.

    python tools/benchmarks/hsg_losses.py --released FOLDER [--images 6] [--crop 448]

FOLDER is a checkout of the authors' code (github.com/twke18/HSG). Both sides get the same embedding
of stride 16, the same regions and the same weights, without dropout, and compute in float32 what a
step of COCO's second stage computes between the embedding and the backward pass, that included.
Prints time, memory on top of what was there before, and whether losses and gradients agree.
"""

import functools
import importlib
import sys
import time
import types
from pathlib import Path
from types import SimpleNamespace

import measure
import torch
from hsg_step import draw_regions
from mmengine.registry import init_default_scope

from mmcroc.hsg.neck import LearnedPosition2d
from mmcroc.registry import MODELS
from mmcroc.weights.released_hsg import GROUPING

CHANNELS = 128
GRID, ITERATIONS, PLACES = (4, 4), 15, 256
CONCENTRATION, NEIGHBOURS, GROUPS = 16, 2, (8, 4)
STRIDE = 16
LABEL_DIVISOR = 2048
TERMS = ('appearance', 'grouping', 'clustering')


def parse_args():
    parser = measure.parser_of(__doc__)
    parser.set_defaults(device='cpu')
    parser.add_argument('--released', type=Path, help="checkout of the authors' code")
    parser.add_argument('--images', type=int, default=6, help='images (two views each)')
    parser.add_argument('--crop', type=int, default=448, help='side of the views, pixels')
    parser.add_argument('--regions', type=int, default=24, help='regions of an over-segmentation')
    parser.add_argument('--repeats', type=int, default=9, help='measurements of each side')
    return parser.parse_args()


def released_config():
    """The authors' settings of COCO's second stage."""
    contrast = dict(loss_types='segsort', concentration=CONCENTRATION)
    terms = dict(
        img_sim=contrast | dict(loss_weight=1.0),
        fine_hrchy=contrast | dict(loss_weight=0.1, clusters=GROUPS[0]),
        coarse_hrchy=contrast | dict(loss_weight=0.1, clusters=GROUPS[1]),
        centroid_cont=contrast | dict(loss_weight=1.0),
        dmon=dict(loss_types='dmon', loss_weight=1.0, knn=NEIGHBOURS),
    )
    train = {f'{term}_{name}': v for term, values in terms.items() for name, v in values.items()}
    network = dict(
        embedding_dim=CHANNELS, label_divisor=LABEL_DIVISOR,
        kmeans_num_clusters=GRID, kmeans_iterations=ITERATIONS,
    )  # fmt: skip
    dataset = dict(semantic_ignore_index=255, num_classes=2)
    sections = dict(train=train, network=network, dataset=dataset)
    return SimpleNamespace(**{name: SimpleNamespace(**values) for name, values in sections.items()})


def load_released(folder):
    """The authors' modules, made to run on one device of any kind."""
    sys.path.insert(0, str(folder))
    common = types.ModuleType('hsg.utils.segsort.common')
    source = (folder / 'hsg/utils/segsort/common.py').read_text()
    # A device is numbered among GPUs only.
    exec(source.replace('.device.index', '.device.index or 0'), vars(common))
    sys.modules[common.__name__] = importlib.import_module('hsg.utils.segsort').common = common
    utils = importlib.import_module('hsg.models.utils')
    utils.scatter_gather = SimpleNamespace(gather=lambda tensors, _: torch.cat(tensors))
    embeddings = importlib.import_module('hsg.models.embeddings.resnet_fcn_hsg')
    embeddings.ResnetBackbone = lambda *_: torch.nn.Identity()
    predictions = importlib.import_module('hsg.models.predictions.hsg')
    return utils, embeddings.resnet_50_fcn_multiview, predictions.hsg


class Released:
    """What the authors' training step computes from an embedding on, with one process."""

    def __init__(self, folder, device):
        self.utils, network, losses = load_released(folder)
        config = released_config()
        self.network, self.losses = network(config).to(device).train(), losses(config)
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(module, torch.nn.MultiheadAttention):
                module.dropout = 0.0

    def __call__(self, embedding, regions):
        size = embedding.shape[-2:]
        regions = regions[:, None].float()
        regions = torch.nn.functional.interpolate(regions, size=size)[:, 0].long()
        ignored = torch.where(regions < 0, 255, 0)
        index = torch.arange(len(embedding) // 2, device=embedding.device).repeat_interleave(2)
        found = self.network.generate_clusters(
            embedding,
            ignored,
            regions.clamp(min=0),
            index,
            self.network.lfn(embedding),
            self.network.pos_embed(embedding),
        )
        gather = self.utils.gather_clustering_and_update_prototypes
        pixels = [found['cluster_embedding']], [found['cluster_embedding_with_loc']]
        batch = found['cluster_batch_index']
        labels = [found['cluster_semantic_label']], [found['cluster_instance_label']]
        names = ['', '_with_loc', '_semantic_label', '_instance_label', '_batch_index']
        *tables, numbers = gather(*pixels, [found['cluster_index']], [batch], *labels)
        targets = {f'prototype{n}': t[0] for n, t in zip(names, tables, strict=True)}
        targets['image_index'] = index
        found['cluster_index'] = numbers[0]
        for level in ('finehrchy', 'coarsehrchy'):
            groups = [found[f'{level}_cluster_index']]
            nothing = [torch.zeros_like(groups[0])]
            *_, numbers = gather(*pixels, groups, [index[batch]], nothing, nothing)
            targets[f'{level}_mapping_index'] = self.utils.gather_and_update_cluster_mappings(
                [found['cluster_index']], numbers
            )[0]
            centroids = f'{level}_nd_prototype_grouping_centroid'
            targets[centroids] = found[centroids].clone()
        losses = self.losses(found, targets)
        names = 'img_sim_loss', 'hrchy_group_loss', 'clustering_loss'
        return dict(zip(TERMS, (losses[name] for name in names), strict=True))


class Ours:
    """HSGHead and its positions."""

    def __init__(self, device):
        init_default_scope('mmpretrain')
        transformer = dict(channels=CHANNELS, dropout=0.0)
        self.head = MODELS.build(
            dict(
                type='mmcroc.HSGHead', num_groups=GROUPS, transformer=transformer, grid=GRID,
                kmeans_iterations=ITERATIONS, max_segments=PLACES, concentration=CONCENTRATION,
                num_neighbours=NEIGHBOURS,
            )
        ).to(device).train()  # fmt: skip
        self.position = LearnedPosition2d(CHANNELS).to(device)

    def load(self, released):
        """Take the weights of the authors' side."""
        parts = 'pos_embed', 'fine_', 'coarse_'
        state = {k: v for k, v in released.network.state_dict().items() if k.startswith(parts)}
        neck = torch.nn.ModuleDict(dict(position=self.position))
        network = torch.nn.ModuleDict(dict(head=self.head, neck=neck))
        network.load_state_dict(GROUPING.rename(state), strict=False)

    def __call__(self, embedding, regions):
        found = self.head.loss(embedding, regions, self.position(*embedding.shape[-2:]))
        sums = dict.fromkeys(TERMS, 0)
        for name, value in found.items():
            if name.startswith('loss_'):
                kind = name.split('_')[1]
                sums[kind if kind in TERMS else 'clustering'] += value
        self.segments = found['num_segments']
        return sums


def differentiated(side, embedding, regions):
    """Losses of one side and the gradient of their sum by the embedding."""
    leaf = embedding.clone().requires_grad_()
    losses = side(leaf, regions)
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}, leaf.grad


def main():
    args = parse_args()
    torch.manual_seed(0)
    size = args.crop // STRIDE
    # Pixels of a region look alike, more or less, as in training.
    regions = draw_regions(args.images, args.crop, args.regions)
    looks = torch.randn(args.regions, CHANNELS)[regions[:, ::STRIDE, ::STRIDE]].movedim(-1, 1)
    embedding = (0.3 * looks + torch.randn(2 * args.images, CHANNELS, size, size)).to(args.device)
    regions = regions.to(args.device)
    sides = dict(mmcroc=Ours(args.device))
    if args.released:
        sides['released'] = Released(args.released, args.device)
        sides['mmcroc'].load(sides['released'])
    calls = {
        name: functools.partial(differentiated, side, embedding, regions)
        for name, side in sides.items()
    }
    found = {name: call() for name, call in calls.items()}
    print(
        f'\n{args.device}, {torch.get_num_threads()} threads, {args.images} images x 2 views of '
        f'{args.crop} x {args.crop}, {sides["mmcroc"].segments:.0f} segments per image\n'
    )
    # The sides take turns, so that a noisy machine is noisy for both; one thread's time is its own,
    # not that of processes beside it.
    alone = args.device == 'cpu' and torch.get_num_threads() == 1
    timer = dict(timer=time.process_time) if alone else {}
    rounds = [
        {name: measure.seconds(call, 0.2, **timer) for name, call in calls.items()}
        for _ in range(args.repeats)
    ]
    times = {name: sorted(r[name] for r in rounds)[args.repeats // 2] for name in calls}
    print(f'{"":12s}{"ms":>10s}{"peak MiB":>10s}' + ''.join(f'{term:>14s}' for term in TERMS))
    figures = {}
    for name, call in calls.items():
        memory = measure.tensor_peak(call)
        figures[name] = {'ms': 1e3 * times[name], 'peak MiB': memory}
        values = ''.join(f'{value:14.6f}' for value in found[name][0].values())
        print(f'{name:12s}{1e3 * times[name]:10.1f}{memory:10.1f}{values}')
    if args.released:
        (ours, gradient), (theirs, wanted) = found['mmcroc'], found['released']
        worst = max(abs(ours[term] / theirs[term] - 1) for term in TERMS)
        error = ((gradient - wanted).norm() / wanted.norm()).item()
        print(f'\nreleased / mmcroc: {times["released"] / times["mmcroc"]:.2f} x the speed')
        print(f'relative difference: losses {worst:.1e}, gradient {error:.1e}')
    measure.record(args.json, figures)


if __name__ == '__main__':
    main()
