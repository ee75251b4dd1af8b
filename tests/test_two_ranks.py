"""One rank and two ranks with half the batch each."""

import os

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook

from mmcroc.training.launch import prepare_cpu_ranks
from tests.support.released_training import recorded_config, recorded_runner

#: What does not depend on how a batch is split, whatever the definitions: each image's own.
IMAGE_LEVEL = ('loss_image', 'entropy_image', 'kl_image', 'teacher_temperature')


class StopAfter(Hook):
    """End training after some epochs; the schedules are of the whole training."""

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch + 1 >= self.epochs


def train(path, work_dir, ranks, invariant):
    """Train on the first two recorded images of each iteration; losses, centres, weights."""
    cfg, _ = recorded_config(path, work_dir)
    model, loader = cfg['model'], cfg['train_dataloader']
    if invariant:
        model['sync_statistics'] = True
        model['target_generator']['cost_scaling'] = 'problem'
    loader['dataset']['batch'] = 2
    loader['batch_size'] = 2 // ranks
    overrides = dict(model=model, train_dataloader=loader)
    if ranks > 1:
        overrides.update(launcher='pytorch')
        prepare_cpu_ranks(overrides)
    runner, _ = recorded_runner(path, work_dir, **overrides)
    runner.register_hook(StopAfter(2 if invariant else 1))
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    return model.history, model.state_dict()


def rank_main(rank, path, work_dir, invariant):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{work_dir}/rendezvous', rank=rank, world_size=2
    )
    torch.save(train(path, work_dir, 2, invariant), work_dir / f'rank{rank}.pth')
    dist.destroy_process_group()


def one_and_two_ranks(path, tmp_path, invariant):
    (tmp_path / 'one').mkdir()
    (tmp_path / 'two').mkdir()
    one = train(path, tmp_path / 'one', 1, invariant)
    mp.start_processes(
        rank_main, (path, tmp_path / 'two', invariant), nprocs=2, start_method='spawn'
    )
    two = [torch.load(tmp_path / 'two' / f'rank{r}.pth', weights_only=True) for r in (0, 1)]
    return one, two


def test_split_invariant_settings_give_the_same_run_at_one_and_two_ranks(fixtures_dir, tmp_path):
    """Per-problem cost scaling, [CLS] norm and cluster mean over all ranks: nothing is a rank's."""
    one, two = one_and_two_ranks(fixtures_dir / 'croc_training.npz', tmp_path, invariant=True)
    (history, state), (first, second) = one, two
    assert len(history) == 4
    for want, a, b in zip(history, first[0], second[0], strict=True):
        for name in ('loss_image', 'loss_cluster'):
            torch.testing.assert_close((a[name] + b[name]) / 2, want[name], rtol=1e-6, atol=1e-6)
    for name, value in state.items():
        assert torch.equal(first[1][name], second[1][name]), f'{name} differs between the ranks'
        ours, want = first[1][name], value
        if name.endswith('attn.qkv.bias'):
            # The keys' third has no true gradient (a shift of all keys changes no attention);
            # Adam makes steps of full size out of its rounding noise.
            (q, _, v), (want_q, _, want_v) = ours.chunk(3), want.chunk(3)
            ours, want = torch.cat([q, v]), torch.cat([want_q, want_v])
        torch.testing.assert_close(ours, want, rtol=0, atol=1e-6, msg=name)


def test_released_definitions_differ_in_the_cluster_level_only(fixtures_dir, tmp_path):
    """As released, three numbers are each rank's own, and all three belong to the cluster level.

    The extremes that scale the clustering's cost (so which clusters are found), the mean [CLS]
    norm (so the scale of their representations) and the mean over clusters (so each cluster's
    weight: ranks with few clusters weigh them more). So the cluster loss, its entropy and KL, the
    counts of clusters and the cluster centre may differ; the image level may not. It is asked of
    the first epoch's two iterations: the learning rate of the first is 0, so both see the same
    weights; the update of the second carries the cluster level's gradient into the shared trunk.
    """
    one, two = one_and_two_ranks(fixtures_dir / 'croc_training.npz', tmp_path, invariant=False)
    (history, state), (first, second) = one, two
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
