"""Protocols as metrics of configs that somebody wrote by hand, in MMSegmentation's way."""

from mmengine.runner import Runner

from mmcroc.config_files import read_config
from tests.support.mini_data import make_voc
from tests.support.paths import ROOT


def test_two_protocols_in_a_config_by_hand(tmp_path, monkeypatch):
    """The example of the page; both metrics score the tokens of one pass."""
    make_voc(tmp_path / 'data' / 'VOCdevkit' / 'VOC2012')
    monkeypatch.chdir(tmp_path)
    cfg = read_config(ROOT / 'docs' / 'examples' / 'two_protocols_voc.py')
    cfg.model.backbone.model = 'rgb'
    cfg.test_dataloader.num_workers = cfg.test_evaluator[1].train_dataloader.num_workers = 0
    cfg.test_evaluator[0].update(seeds=[0], num_restarts=1)
    cfg.update(work_dir='work', log_level='WARNING', experiment_name='two_protocols')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    assert 0 < metrics['clustering-224/mIoU'] <= 100 and 0 < metrics['linear-ridge-224/mIoU'] <= 100
    clustering, ridge = runner.test_loop.evaluator.metrics
    assert clustering.report['num_images'] == ridge.report['num_images'] == 3
    assert ridge.num_train_images == 3
