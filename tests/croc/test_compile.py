"""CrOC compiled: by the config's ``compile``, and by ``model.compile()``."""

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from mmcroc.croc.clustering import online_clustering
from mmcroc.croc.optim_wrapper import SelfDistillOptimWrapper
from mmcroc.features.vision_transformer import VisionTransformer
from tests.support.croc_models import build_croc, small_croc


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Each test compiles by itself, and may train where no Runner does."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    MessageHub.get_current_instance().pop_info('loop_stage')


def train(model, compiled, wrapper, steps=2):
    """Losses of some steps, and the model's weights after them."""
    optimizer = torch.optim.SGD(model.learning_parameters(), lr=0.1)
    optim_wrapper = wrapper(optimizer)
    # As MMEngine's Runner does it for `compile=True`, or by hand.
    if compiled == 'runner':
        model.train_step = torch.compile(model.train_step, backend='eager')
    elif compiled == 'model':
        model.compile(backend='eager')
    box = np.array([[0, 0, 32, 32, 0]] * 2, dtype=np.float32)
    samples = [DataSample(metainfo=dict(view_boxes=box)) for _ in range(3)]
    history = []
    for iteration in range(steps):
        progress = dict(iter=iteration, max_iters=10, epoch=iteration, max_epochs=10)
        MessageHub.get_current_instance().update_info_dict(dict(loop_stage='train', **progress))
        torch.manual_seed(iteration)
        views = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
        losses = model.train_step(dict(inputs=list(views), data_samples=samples), optim_wrapper)
        history.append({name: value.detach().double() for name, value in losses.items()})
    return history, model.state_dict()


def clustering_croc():
    """One level: to trace more takes seconds, and another test does."""
    return build_croc(num_start_clusters=2, max_clusters=2)


@pytest.mark.parametrize(
    ('build', 'compiled', 'wrapper'),
    [
        (clustering_croc, 'model', SelfDistillOptimWrapper),
        (small_croc, 'runner', OptimWrapper),
    ],
)
def test_compiled_training_gives_the_eager_losses_and_weights(build, compiled, wrapper):
    eager = train(build().train(), None, wrapper)
    fast = train(build().train(), compiled, wrapper)
    torch.testing.assert_close(fast[0], eager[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast[1], eager[1], rtol=1e-4, atol=1e-6)
    counters = torch._dynamo.utils.counters
    assert counters['stats']['unique_graphs'] >= 4  # both backbones, losses, projections
    if compiled == 'model':  # whole backbones: nothing breaks a graph but what is told to
        assert all('torch.compiler.disable' in reason for reason in counters['graph_break'])


class Programs:
    """A backend that compiles nothing, and counts what it is given."""

    def __init__(self):
        self.number, self.attentions = 0, []

    def __call__(self, graph, _):
        self.number += 1
        targets = [getattr(node.target, '__name__', '') for node in graph.graph.nodes]
        self.attentions.append(targets.count('scaled_dot_product_attention'))
        # Inductor would take it for a constant, and make one for each value.
        values = [node.meta.get('example_value') for node in graph.graph.nodes]
        assert not any(isinstance(value, torch.SymFloat) for value in values)
        return graph.forward


def test_levels_of_the_clustering_share_a_program():
    g = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 3, 2, 16, 8, generator=g)
    cls_tokens = torch.randn(2, 3, 2, 8, generator=g)
    positions = torch.rand(2, 3, 16, 2, generator=g) * 300
    settings = dict(num_start_clusters=12, max_clusters=12)
    settings['seeds'] = torch.randperm(32, generator=g)[:12].expand(3, 2, 12)
    programs = Programs()
    compiled = torch.compile(online_clustering, backend=programs)
    found = compiled(tokens, cls_tokens, positions, **settings)
    want = online_clustering(tokens, cls_tokens, positions, **settings)
    torch.testing.assert_close(found, want)
    # Start and split; the first of 11 levels, the others, and of these those of 3 and 2 clusters.
    assert programs.number == 6
    compiled(tokens, cls_tokens, positions, **settings)
    assert programs.number == 6


def test_blocks_of_a_backbone_share_a_program():
    arch = dict(embed_dims=12, num_layers=9, num_heads=3, feedforward_channels=24)
    backbone = VisionTransformer(arch=arch, img_size=16, patch_size=8, drop_path_rate=0.1)
    backbone.train()
    programs = Programs()
    compiled = torch.compile(backbone.forward_tapped, backend=programs)
    images = torch.randn(2, 3, 16, 16)
    for _ in range(2):
        torch.manual_seed(0)
        found = compiled(images, 'k')
        # The first block, which has no stochastic depth, and the others.
        assert sorted(programs.attentions)[-3:] == [0, 1, 1]
    torch.manual_seed(0)
    torch.testing.assert_close(found, backbone.forward_tapped(images, 'k'))
