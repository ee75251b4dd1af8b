"""Checkpoints for MMPretrain, and back."""

import pytest
import torch
from mmpretrain.registry import MODELS

from mmcroc.export.export import export_backbone
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from tests.support.hsg_models import save_hsg
from tests.support.random_models import IMAGES, assert_same_tokens, assert_same_weights, run_usage


def test_mmpretrain_builds_it_by_init_cfg_and_load_backbone_by_its_name(full_size, tmp_path):
    export = export_backbone(full_size.path, 'mmpretrain', tmp_path / 'out.pth')
    backbone = MODELS.build(run_usage(export)['model']['backbone'])
    backbone.init_weights()
    backbone.eval()
    back = load_backbone(str(tmp_path / 'out.pth'))
    for found in (backbone, back):
        assert_same_weights(found.state_dict(), full_size.backbone.state_dict())
    assert_same_tokens(backbone(IMAGES)[-1], full_size.tokens(IMAGES))


def test_an_export_of_an_export_is_the_same(croc, tmp_path):
    export_backbone(croc.path, 'mmpretrain', tmp_path / 'out.pth')
    export_backbone(tmp_path / 'out.pth', 'mmpretrain', tmp_path / 'again.pth')
    files = [torch.load(tmp_path / name, weights_only=True) for name in ('out.pth', 'again.pth')]
    assert_same_weights(*(file['state_dict'] for file in files))
    assert files[0]['meta'] == files[1]['meta']  # still the pretraining's


def test_the_checkpoint_of_mmseg_is_the_same(croc, tmp_path):
    export_backbone(croc.path, 'mmpretrain', tmp_path / 'one.pth')
    export_backbone(croc.path, 'mmseg', tmp_path / 'two.pth')
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ('one.pth', 'two.pth'))
    assert_same_weights(one['state_dict'], two['state_dict'])
    assert one['meta'] == two['meta']


def test_hsg_goes_without_its_neck_at_stride_8(tmp_path):
    _, path = save_hsg(tmp_path)
    wanted = load_backbone(f'{path}:backbone')
    wanted.eval()
    export = export_backbone(path, 'mmpretrain', tmp_path / 'out.pth')
    assert any('neck' in note for note in export.notes)
    assert any('multi_grid (2, 8, 16)' in note for note in export.notes)
    found = load_backbone(str(tmp_path / 'out.pth'))
    found.eval()
    assert_same_weights(found.state_dict(), wanted.state_dict())
    with torch.no_grad():
        tokens = dense_tokens(found, IMAGES)
        assert tokens.shape[-2:] == (8, 8)
        assert torch.equal(tokens, dense_tokens(wanted, IMAGES))
    backbone = MODELS.build(run_usage(export)['model']['backbone'])  # MMPretrain builds it too
    backbone.init_weights()
    assert_same_weights(backbone.state_dict(), wanted.state_dict())


@pytest.mark.parametrize('scope', ['mmseg', 'mmpretrain'])
@pytest.mark.parametrize('variant', ['ResNetV1c', 'ResNetV1d'])
def test_deep_stems_keep_their_librarys_names(scope, variant, tmp_path):
    from tests.support.random_models import save

    saved = save(tmp_path, dict(type=f'{scope}.{variant}', depth=18, base_channels=8))
    export_backbone(saved.path, 'mmpretrain', tmp_path / 'out.pth')
    found = load_backbone(str(tmp_path / 'out.pth'))
    assert_same_weights(found.state_dict(), saved.backbone.state_dict())
