"""Evaluation before, during and after pretraining."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

from mmcroc.registry import DATASETS
from mmcroc.training.probes import BEFORE
from tests.support.mini_data import make_voc
from tests.support.paths import CONFIGS


def demo(work_dir, max_epochs=2, probe=True, **kwargs):
    """The demo on eight scenes, with a probe on a few."""
    cfg = Config.fromfile(CONFIGS / 'croc_vit-t_scenes.py')
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.pin_memory': False,
            'train_dataloader.dataset.num_images': 8,
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 1,
            'val_dataloader.dataset.num_images': 3,
            'val_evaluator.1.train_dataloader.dataset.num_images': 3,
            'default_hooks.checkpoint.interval': 1,
            'model.neck.num_prototypes': 16,
            'model.head.num_prototypes': 16,
            'model.neck.num_cluster_prototypes': 16,
            'model.head.num_cluster_prototypes': 16,
            'randomness.seed': 0,
            'work_dir': str(work_dir),
            'experiment_name': f'probe_{work_dir.name}_{probe}_{max_epochs}',
            **kwargs,
        }
    )
    if not probe:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    if max_epochs == 1:  # stop early; the schedules are of the whole training
        run_iter = runner.train_loop.run_iter

        def until_the_second_epoch(idx, batch):
            if runner.epoch == 1:
                raise KeyboardInterrupt
            run_iter(idx, batch)

        runner.train_loop.run_iter = until_the_second_epoch
    return runner


@pytest.fixture(scope='module')
def probed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('probed')
    runner = demo(work_dir)
    validated = []
    evaluate = runner.val_loop.run
    runner.val_loop.run = lambda: validated.append((runner.iter, evaluate())) or validated[-1][1]
    runner.train()
    return runner, validated, next(work_dir.glob('*/*.log')).read_text()


def test_it_validates_before_the_first_iteration_and_after_the_last(probed):
    _, validated, _ = probed
    assert [iteration for iteration, _ in validated] == [0, 2, 4]


def test_the_last_table_shows_before_after_and_gain(probed):
    _, validated, log = probed
    table = log.split('What training gained:')[1]
    for name in ('clustering-probe/mIoU', 'linear-ridge-probe/mIoU'):
        before, after = validated[0][1][name], validated[-1][1][name]
        row = next(line for line in table.splitlines() if name in line)
        assert [cell.strip() for cell in row.split('|')[2:5]] == [
            f'{before:.2f}', f'{after:.2f}', f'{after - before:+.2f}'
        ]  # fmt: skip


def test_training_is_the_same_with_and_without_the_probe(probed, tmp_path):
    runner = demo(tmp_path, probe=False)
    runner.train()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, probed[0].model.state_dict()[name]), name


def test_a_resumed_run_compares_with_the_start_of_the_first(probed, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, max_epochs=1).train()
    runner = demo(tmp_path, resume=True)
    validated, evaluate = [], runner.val_loop.run
    runner.val_loop.run = lambda: validated.append(runner.iter) or evaluate()
    runner.train()
    assert validated == [2, 4], 'the interrupt came before, in or after the first: who knows'
    assert runner.message_hub.get_info(BEFORE) == probed[1][0][1]
    log = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text()
    want = probed[2].split('What training gained:')[1].split('\n\n')[0]
    assert log.split('What training gained:')[1].split('\n\n')[0] == want


def test_the_probe_on_voc_sees_the_colours_that_training_sees(tmp_path):
    """A red image stays red in the model; masks keep their labels."""
    make_voc(tmp_path)
    for path in (tmp_path / 'JPEGImages').glob('*.jpg'):
        Image.new('RGB', (64, 48), (255, 0, 0)).save(path)
    cfg = Config.fromfile(CONFIGS / '_base_' / 'probes' / 'voc.py')
    init_default_scope('mmpretrain')
    train = cfg.val_evaluator[1].train_dataloader.dataset
    for settings in (cfg.val_dataloader.dataset, train):
        settings = dict(settings, data_root=str(tmp_path))
        settings.pop('indices', None)
        sample = DATASETS.build(settings)[0]
        assert sample['inputs'].shape == (3, 224, 224)
        red, green, blue = sample['inputs'].float().mean((1, 2)).tolist()
        assert red > 250 and green < 5 and blue < 5
        labels = set(sample['data_samples'].gt_sem_seg.data.unique().tolist())
        assert labels == {0, 1, 8, 12, 15, 20, 255}


def test_a_pretraining_config_can_validate_on_voc(tmp_path):
    """As the README has it: two bases and an interval."""
    make_voc(tmp_path)
    bases = [str(CONFIGS / name) for name in ('croc_vit-s_coco.py', '_base_/probes/voc.py')]
    path = tmp_path / 'mine.py'
    path.write_text(f'_base_ = {bases}\ntrain_cfg = dict(val_interval=10)\n')
    cfg = Config.fromfile(path)
    labelled = [metric.train_dataloader for metric in cfg.val_evaluator[1:]]
    for loader in (cfg.val_dataloader, *labelled):
        loader.update(num_workers=0, batch_size=2)
        loader.dataset.data_root = str(tmp_path)
        loader.dataset.indices = None
    cfg.val_evaluator[0].update(num_restarts=1, seeds=[0])
    cfg.model.backbone.arch = dict(
        embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48
    )
    cfg.model.neck.update(in_channels=24, num_prototypes=8, num_cluster_prototypes=8)
    cfg.model.head.update(num_prototypes=8, num_cluster_prototypes=8)
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.custom_hooks = []
    cfg.update(work_dir=str(tmp_path), experiment_name='probe_voc', log_level='WARNING')
    runner = Runner.from_cfg(cfg)
    metrics = runner.val()
    for name in ('clustering-probe', 'linear-ridge-probe', 'hummingbird-probe'):
        assert metrics[f'{name}/mIoU'] > 0
    _, ridge, hummingbird = runner.val_loop.evaluator.metrics
    assert ridge.passes == hummingbird.passes  # one pass over the training images
