"""The position entries that training touched travel in HSG's checkpoints, and inference keeps to
them."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.hsg import frozen
from mmcroc.inference.segmentation import init_model, segment_image
from mmcroc.registry import MODELS
from tests.support.hsg_models import hsg_config, save_hsg
from tests.support.images import smooth_image
from tests.support.released_checkpoints import released_hsg

KEY = 'neck.position.trained'
TRAINED = [[4, 64], [4, 64]]  # views of 64 px at stride 16
IMAGE = smooth_image(height=128, width=192)


def maps_of(path):
    """Of an image that has twice and three times the size of training's views, at stride 8."""
    return segment_image(init_model(None, str(path)), IMAGE, longer_side=192)


def rewrite(path, drop=(), cfg=None, **tables):
    """The checkpoint without some keys, with another config, with changed tensors."""
    checkpoint = torch.load(path, weights_only=True)
    state = {key: value for key, value in checkpoint['state_dict'].items() if key not in drop}
    for table, change in tables.items():
        change(state[f'neck.position.{table}.weight'])
    meta = checkpoint['meta'] if cfg is None else dict(cfg=Config(cfg).pretty_text)
    torch.save(dict(state_dict=state, meta=meta), path)


def with_views(size=64):
    """The tiny model's config with what else a training's config says."""
    views = dict(type='mmcroc.TwoViewsWithRegions', size=size, scale=(0.5, 1.5))
    dataset = dict(type='mmcroc.OversegmentedImages', pipeline=[views])
    return dict(hsg_config(), train_dataloader=dict(batch_size=4, dataset=dataset))


def test_training_notes_the_entries_and_inference_does_not(tmp_path):
    model, _ = save_hsg(tmp_path)
    assert model.neck.position.trained.tolist() == TRAINED
    inputs = torch.randn(4, 3, 160, 160)
    model.hierarchy(inputs)
    model.train().hierarchy(inputs)
    model.eval().loss(inputs, None, torch.zeros(4, 160, 160).long())
    assert model.neck.position.trained.tolist() == TRAINED


def test_stage_1_trains_no_positions():
    cfg = hsg_config(num_groups=(), grid=(1, 1))
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))
    model.train().loss(torch.randn(4, 3, 64, 64), None, torch.zeros(4, 64, 64).long())
    assert not model.neck.position.trained.any()


def test_entries_that_were_never_trained_change_no_group(tmp_path):
    _, path = save_hsg(tmp_path)
    want = maps_of(path)
    rewrite(path, row=lambda t: t[4:].fill_(1e4), column=lambda t: t[4:].fill_(-1e4))
    for level, labels in maps_of(path).items():
        np.testing.assert_array_equal(labels, want[level], err_msg=level)


def test_trained_entries_do_change_the_groups(tmp_path):
    """The other side of the test above: positions are looked at."""
    _, path = save_hsg(tmp_path)
    want = maps_of(path)
    rewrite(path, row=lambda t: t[:4].normal_(std=100), column=lambda t: t[:4].normal_(std=100))
    assert (maps_of(path)['level_1'] != want['level_1']).any()


def test_a_model_at_stride_8_sees_the_positions_of_stride_16(tmp_path):
    """A quarter of an entry to either side of its centre are the centres of two finer pixels."""
    model, path = save_hsg(tmp_path)
    finer = init_model(None, str(path)).neck.position(8, 8, (64, 64))
    table = model.neck.position.column.weight.T
    torch.testing.assert_close(finer[:8, 0, 2::2], 0.25 * table[:, :3] + 0.75 * table[:, 1:4])
    torch.testing.assert_close(finer[:8, 0, 1:-1:2], 0.75 * table[:, :3] + 0.25 * table[:, 1:4])
    torch.testing.assert_close(finer[:8, 0, [0, -1]], table[:, [0, 3]])


def test_an_older_checkpoint_gets_them_from_its_config(tmp_path):
    _, path = save_hsg(tmp_path)
    want = maps_of(path)
    rewrite(path, drop=[KEY], cfg=with_views())
    assert load_backbone(str(path)).neck.position.trained.tolist() == TRAINED
    for level, labels in maps_of(path).items():
        np.testing.assert_array_equal(labels, want[level], err_msg=level)


@pytest.mark.parametrize('cfg', [None, dict(hsg_config(), train_dataloader=None)])
def test_an_older_checkpoint_whose_config_does_not_tell_gets_none_and_says_so(
    tmp_path, monkeypatch, cfg
):
    _, path = save_hsg(tmp_path)
    rewrite(path, drop=[KEY], cfg=cfg)
    told = []
    monkeypatch.setattr(frozen, 'print_log', lambda text, **kwargs: told.append(text))
    assert not load_backbone(str(path)).neck.position.trained.any()
    assert len(told) == 1 and 'does not say which position entries were trained' in told[0]
    maps_of(path)


def test_an_older_checkpoint_of_stage_1_has_none(tmp_path):
    _, path = save_hsg(tmp_path, num_groups=(), grid=(1, 1))
    stage_1 = hsg_config(num_groups=(), grid=(1, 1))
    rewrite(path, drop=[KEY], cfg=dict(with_views(), model=stage_1['model']))
    assert not load_backbone(str(path)).neck.position.trained.any()


@pytest.mark.parametrize(('stage', 'want'), [(1, [[0, 0]] * 2), (2, [[28, 448]] * 2)])
def test_released_checkpoints_were_trained_at_448_pixels(tmp_path, stage, want):
    released_hsg(tmp_path / 'released.pth', stage)
    released = load_backbone(str(tmp_path / 'released.pth'))
    assert released.neck.position.trained.tolist() == want
