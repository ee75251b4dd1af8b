"""HSG on two ranks, half the batch each: as on one rank, or with each rank's means."""

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, BaseModule, MMDistributedDataParallel
from torch import nn

from mmcroc.hsg.algorithm import HSG
from mmcroc.hsg.head import HSGHead
from mmcroc.numerics.distributed import differentiable_all_gather
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import MODELS
from tests.support.processes import on_two_ranks

CHANNELS, SIDE = 8, 12
#: What is trained. Batch norms are per rank on a CPU (their synchronised kind needs a GPU).
SETTINGS = {
    'all losses': dict(num_groups=[4, 2], max_segments=60),
    'tables as wide as needed': dict(num_groups=[4, 2], max_segments=None, neighbour_graph='image'),
    'appearance only': dict(num_groups=[], grid=(1, 1)),
    'batch norms in eval': dict(num_groups=[4, 2], max_segments=60),
}


@MODELS.register_module()
class TwoConvolutions(BaseModule):
    """A backbone without norms."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1))

    def forward(self, images):
        return (self.layers(images),)


def build(name, sync_statistics=True):
    torch.manual_seed(0)
    in_eval = name == 'batch norms in eval'
    norm_cfg = dict(type='BN1d' if in_eval else 'LN')
    transformer = dict(channels=CHANNELS, num_heads=2, dropout=0.0, norm_cfg=norm_cfg)
    head = dict(type='mmcroc.HSGHead', transformer=transformer, kmeans_iterations=3, grid=(2, 2))
    model = HSG(
        backbone=dict(type='mmcroc.TwoConvolutions'),
        neck=dict(
            type='mmcroc.HSGNeck', in_channels=6, out_channels=CHANNELS,
            norm_cfg=dict(type='BN') if in_eval else dict(type='GN', num_groups=2),
        ),
        head=dict(head, sync_statistics=sync_statistics, **SETTINGS[name]),
        data_preprocessor=BaseDataPreprocessor(),
    ).double()  # fmt: skip
    return model.eval() if in_eval else model


def batch(step):
    """Four images, two views each, of which very unlike shares are ignored.

    In the first step the last image wholly; in the second all but the first.
    """
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(8, 3, SIDE, SIDE, generator=generator).double()
    regions = torch.randint(4, (8, SIDE, SIDE), generator=generator)
    ignored = (0, 2, 0, 4, 9, 0, 12, 12) if step == 0 else (5, 2, *[12] * 6)
    for view, rows in enumerate(ignored):
        regions[view, :rows] = -1
    return images, regions


def train(name, rank=0, ranks=1):
    """Two steps of SGD: losses of each, and the weights after."""
    model = build(name)
    trained = MMDistributedDataParallel(model, broadcast_buffers=False) if ranks > 1 else model
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    history = []
    for step in range(2):
        share = slice(8 // ranks * rank, 8 // ranks * (rank + 1))
        images, regions = (x[share] for x in batch(step))
        losses = trained(images, mode='loss', oversegmentation=regions)
        losses = {key: value for key, value in losses.items() if key.startswith('loss')}
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        history.append({key: value.detach() for key, value in losses.items()})
    return history, model.state_dict()


def first_losses(name, sync_statistics, rank):
    """Losses of this rank in the first step."""
    share = slice(4 * rank, 4 * rank + 4)
    images, regions = (x[share] for x in batch(0))
    losses = build(name, sync_statistics)(images, mode='loss', oversegmentation=regions)
    return {key: value.detach() for key, value in losses.items() if key.startswith('loss')}


def error_of_too_many_segments(rank):
    """What a rank says when the other has an image with more segments than places."""
    images, regions = batch(2)
    model = build('all losses')
    model.head.segment_limit.limit = model.head.max_segments = 10
    try:
        model(images[:4], mode='loss', oversegmentation=regions[:4] * rank)
    except ValueError as error:
        return str(error)


def weighted(gathered):
    """Something whose gradient differs in every entry."""
    weights = torch.arange(1.0, gathered.numel() + 1, dtype=torch.float64).view(gathered.shape)
    return (weights * gathered**3).sum()


def gather_gradient(rank):
    """Gradient of the sum over ranks of rank-dependent functions of what was gathered."""
    mine = (torch.arange(6.0).view(2, 3).double() - 4 * rank).requires_grad_()
    gathered = differentiable_all_gather(mine)
    ((rank + 1) * weighted(gathered)).backward()
    return gathered.detach(), mine.grad


def rank_main(rank, _):
    outcome = {name: train(name, rank, 2) for name in SETTINGS}
    means = {name: [first_losses(name, sync, rank) for sync in (True, False)] for name in SETTINGS}
    errors = error_of_too_many_segments(rank)
    return outcome, gather_gradient(rank), means, errors


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    return on_two_ranks(rank_main, tmp_path_factory.mktemp('ranks'))


@pytest.mark.parametrize('name', SETTINGS)
def test_losses_and_weights_are_those_of_one_rank(outcomes, name):
    history, state = train(name)
    (first, first_state), (second, second_state) = (outcome[0][name] for outcome in outcomes)
    assert len(history) == len(first) == len(second) == 2
    for want, a, b in zip(history, first, second, strict=True):
        for key, value in want.items():
            torch.testing.assert_close((a[key] + b[key]) / 2, value, rtol=1e-9, atol=1e-11, msg=key)
    before = build(name)
    trained = [key for key, _ in before.named_parameters() if 'position' not in key]
    before = before.state_dict()
    moved = 0
    for key, value in state.items():
        assert torch.equal(first_state[key], second_state[key]), f'{key} differs between the ranks'
        torch.testing.assert_close(first_state[key], value, rtol=0, atol=1e-9, msg=key)
        moved += not torch.equal(before[key], value)
    assert moved > 0.7 * len(trained)


def test_shares_are_ragged_and_one_rank_alone_would_get_other_losses(outcomes):
    images, regions = batch(0)
    counts = (regions >= 0).flatten(1).sum(1)
    assert counts[:4].sum() > 2 * counts[4:].sum()
    alone = build('all losses')
    parts = [
        alone(images[s], mode='loss', oversegmentation=regions[s])['loss_appearance']
        for s in (slice(4), slice(4, 8))
    ]
    together = [outcome[0]['all losses'][0][0]['loss_appearance'] for outcome in outcomes]
    assert abs(sum(parts) - sum(together)) > 1e-2


@pytest.mark.parametrize('name', SETTINGS)
def test_by_default_means_are_each_ranks_own(outcomes, name):
    """Sums over this rank's pixels (images) by their own number, not by the mean over ranks."""
    assert HSGHead().sync_statistics is False
    regions = nearest_resize(batch(0)[1], SIDE // 2, SIDE // 2)
    pixels = [(half >= 0).sum() for half in regions.split(4)]
    images = [(half.unflatten(0, (2, 2)) >= 0).flatten(1).any(1).sum() for half in regions.split(4)]
    assert pixels[0] != pixels[1] and images[0] != images[1]
    for rank, (_, _, means, _) in enumerate(outcomes):
        over_ranks, own = means[name]
        for key, value in own.items():
            counts = pixels if key.startswith(('loss_appearance', 'loss_grouping')) else images
            want = over_ranks[key] * (sum(counts) / 2) / counts[rank]
            torch.testing.assert_close(value, want, rtol=1e-9, atol=1e-11, msg=key)
            assert abs(value - over_ranks[key]) > 1e-6, key


def test_all_ranks_stop_when_an_image_of_one_has_too_many_segments(outcomes):
    first, second = (outcome[3] for outcome in outcomes)
    assert first == second and 'segments, but max_segments=10' in first


def test_the_gathers_gradient_is_the_sum_over_all_ranks(outcomes):
    parts = [(torch.arange(6.0).view(2, 3).double() - 4 * r).requires_grad_() for r in (0, 1)]
    whole = torch.cat(parts)
    (3 * weighted(whole)).backward()
    for part, (_, (gathered, gradient), *_) in zip(parts, outcomes, strict=True):
        assert torch.equal(gathered, whole.detach())
        torch.testing.assert_close(gradient, part.grad)
