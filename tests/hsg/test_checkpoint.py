"""HSG's checkpoints as backbones: the pixel embedding at stride 8."""

import copy

import pytest
import torch
from mmengine.config import Config

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.hsg.frozen import at_stride_8
from mmcroc.registry import MODELS
from tests.support.hsg_models import BACKBONE, hsg_config, save_hsg
from tests.support.paths import CONFIGS

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def test_the_rule_gives_the_config_of_hsgs_resnet_50():
    train, wanted = (
        Config.fromfile(CONFIGS / '_base_' / 'models' / f'hsg_r50{suffix}.py').model.backbone
        for suffix in ('', '_stride8')
    )
    assert at_stride_8(train.to_dict()) == wanted.to_dict()


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmcroc.VisionTransformer', arch='deit-tiny'),
        dict(type='mmseg.ResNet', depth=50, strides=(1, 2, 1, 1), multi_grid=(1, 4, 8)),
        dict(type='mmseg.ResNet', depth=50, strides=(1, 2, 2, 2)),
        # Its second convolutions cannot be dilated.
        dict(type='mmseg.ResNet', depth=18, strides=(1, 2, 2, 1), multi_grid=(1, 4)),
        dict(type='mmpretrain.ResNet', depth=50, strides=(1, 2, 2, 1)),
    ],
)
def test_other_backbones_stay_as_they_are(cfg):
    assert at_stride_8(copy.deepcopy(cfg)) == cfg


def test_a_checkpoint_gives_the_embedding_at_twice_the_resolution(tmp_path):
    """The same weights: the training's map is every other pixel of it."""
    model, path = save_hsg(tmp_path)
    found = load_backbone(str(path))
    found.eval()
    want = model.extract_feat(IMAGES)[0]
    got = dense_tokens(found, IMAGES)
    assert want.shape == (2, 16, 4, 6) and got.shape == (2, 16, 8, 12)
    torch.testing.assert_close(got[..., ::2, ::2], want)
    state = model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())
    backbone = MODELS.build(dict(type='mmcroc.PretrainedBackbone', model=str(path)))
    assert (backbone.channels, backbone.stride) == (16, 8)


def test_the_bare_backbone_is_had_by_a_suffix(tmp_path):
    model, path = save_hsg(tmp_path)
    backbone = MODELS.build(dict(type='mmcroc.PretrainedBackbone', model=f'{path}:backbone'))
    assert (backbone.channels, backbone.stride) == (128, 8)
    torch.testing.assert_close(
        backbone(IMAGES)[0][..., ::2, ::2], model.backbone(IMAGES)[-1], rtol=1e-5, atol=1e-4
    )


def test_weights_that_do_not_fit_and_files_that_are_no_checkpoints_are_refused(tmp_path):
    model, path = save_hsg(tmp_path)
    other = hsg_config(neck=dict(type='mmcroc.HSGNeck', in_channels=128, out_channels=8))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=Config(other).pretty_text)), path)
    with pytest.raises(ValueError, match=r'hsg\.pth holds another architecture'):
        load_backbone(str(path))
    path.write_text('not a checkpoint')
    with pytest.raises(ValueError, match=r'hsg\.pth is no checkpoint'):
        load_backbone(str(path))
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match='holds a list'):
        load_backbone(str(path))


def test_an_own_scope_in_the_config_is_understood(tmp_path):
    """A config may say ``HSG`` under ``default_scope = 'mmcroc'``."""
    model, path = save_hsg(tmp_path)
    cfg = hsg_config(backbone=dict(BACKBONE))
    cfg = dict(cfg, default_scope='mmcroc', model=dict(cfg['model'], type='HSG'))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=Config(cfg).pretty_text)), path)
    assert dense_tokens(load_backbone(str(path)), IMAGES).shape[1] == 16
