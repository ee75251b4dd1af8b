"""CrOC on one rank and on two with half the batch each."""

import pytest
import torch
from mmengine.hooks import Hook

from mmcroc.training.launch import prepare_cpu_ranks
from tests.support.paths import FIXTURES
from tests.support.processes import on_two_ranks
from tests.support.released_training import recorded_config, recorded_runner

#: What does not depend on how a batch is split, whatever the definitions: each image's own.
IMAGE_LEVEL = ('loss_image', 'entropy_image', 'kl_image', 'teacher_temperature')
#: What is trained, and for how many of the recorded epochs.
SETTINGS = {'split-invariant': 2, 'stock wrapper and hooks': 2, 'last block': 2, 'released': 1}


class StopAfter(Hook):
    """End training after some epochs; the schedules are of the whole training."""

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch + 1 >= self.epochs


def train(name, work_dir, ranks=1):
    """Train on the first two recorded images of each iteration; losses, weights."""
    path = FIXTURES / 'croc_training.npz'
    cfg, _ = recorded_config(path, work_dir)
    model, loader, wrapper = cfg['model'], cfg['train_dataloader'], cfg['optim_wrapper']
    hooks = cfg['default_hooks']
    if name != 'released':
        model['sync_statistics'] = True
        model['target_generator']['cost_scaling'] = 'problem'
    if name == 'last block':  # post-training's frozen trunk; heads learn alone first
        model.update(trained_blocks=1, freeze_backbone_share=0.1)
    if name == 'stock wrapper and hooks':
        settings = {key: wrapper[key] for key in ('optimizer', 'paramwise_cfg')}
        wrapper, hooks = dict(type='OptimWrapper', **settings), dict(checkpoint=None)
    loader['dataset']['batch'] = 2
    loader['batch_size'] = 2 // ranks
    overrides = dict(
        model=model, train_dataloader=loader, optim_wrapper=wrapper, default_hooks=hooks
    )
    if ranks > 1:
        overrides.update(launcher='pytorch')
        prepare_cpu_ranks(overrides)
    overrides.update(experiment_name=f'{name} on {ranks}')
    runner, _ = recorded_runner(path, work_dir, **overrides)
    runner.register_hook(StopAfter(SETTINGS[name]))
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    return model.history, model.state_dict()


def rank_main(_, work_dir):
    return {name: train(name, work_dir / name, 2) for name in SETTINGS}


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory):
    """What both ranks got, by the name of the settings."""
    folder = tmp_path_factory.mktemp('two')
    for name in SETTINGS:
        (folder / name).mkdir()
    return on_two_ranks(rank_main, folder)


@pytest.mark.parametrize('name', ['split-invariant', 'stock wrapper and hooks', 'last block'])
def test_split_invariant_settings_give_the_same_run_at_one_and_two_ranks(name, two_ranks, tmp_path):
    """Per-problem cost scaling, [CLS] norm and cluster mean over all ranks: nothing is a rank's.

    Under MMEngine's Runner with its wrapper, hooks and distributed data parallel, too.
    """
    history, state = train(name, tmp_path)
    first, second = (found[name] for found in two_ranks)
    # Adam makes much of rounding where a gradient is nearly 0: one weight of a block's 9,216.
    atol = 5e-6 if name == 'last block' else 1e-6
    assert len(history) == 4
    for want, a, b in zip(history, first[0], second[0], strict=True):
        assert a['teacher_momentum'] == b['teacher_momentum'] == want['teacher_momentum'] < 1
        for loss in ('loss_image', 'loss_cluster'):
            torch.testing.assert_close((a[loss] + b[loss]) / 2, want[loss], rtol=1e-6, atol=atol)
    for key, value in state.items():
        assert torch.equal(first[1][key], second[1][key]), f'{key} differs between the ranks'
        ours, want = first[1][key], value
        if key.endswith('attn.qkv.bias'):
            # The keys' third has no true gradient (a shift of all keys changes no attention);
            # Adam makes steps of full size out of its rounding noise.
            (q, _, v), (want_q, _, want_v) = ours.chunk(3), want.chunk(3)
            ours, want = torch.cat([q, v]), torch.cat([want_q, want_v])
        torch.testing.assert_close(ours, want, rtol=0, atol=atol, msg=key)
    start = recorded_runner(FIXTURES / 'croc_training.npz', tmp_path)[0].model.state_dict()
    for layer in (0, 1):
        part = f'backbone.layers.{layer}.attn.proj.weight'
        followed, student = first[1][f'teacher.{part}'], first[1][part]
        if name == 'last block' and layer == 0:
            assert torch.equal(followed, start[part]) and torch.equal(student, start[part])
        else:
            assert not torch.equal(followed, start[part]) and not torch.equal(followed, student)


def test_released_definitions_differ_in_the_cluster_level_only(two_ranks, tmp_path):
    """As released, three numbers are each rank's own, and all three belong to the cluster level.

    The extremes that scale the clustering's cost (so which clusters are found), the mean [CLS]
    norm (so the scale of their representations) and the mean over clusters (so each cluster's
    weight: ranks with few clusters weigh them more). So the cluster loss, its entropy and KL, the
    counts of clusters and the cluster centre may differ; the image level may not. It is asked of
    the first epoch's two iterations: the learning rate of the first is 0, so both see the same
    weights; the update of the second carries the cluster level's gradient into the shared trunk.
    """
    history, state = train('released', tmp_path)
    first, second = (found['released'] for found in two_ranks)
    assert len(history) == 2
    for want, a, b in zip(history, first[0], second[0], strict=True):
        mean = {name: (a[name] + b[name]) / 2 for name in want}
        for name in IMAGE_LEVEL:
            torch.testing.assert_close(mean[name], want[name], rtol=1e-6, atol=1e-6)
        assert abs(mean['loss_cluster'] - want['loss_cluster']) > 1e-4
    for name in state:
        assert torch.equal(first[1][name], second[1][name]), f'{name} differs between the ranks'
    torch.testing.assert_close(first[1]['head.center'], state['head.center'], rtol=0, atol=1e-6)
    off = first[1]['head.cluster_center'] - state['head.cluster_center']
    assert off.abs().max() > 1e-4
