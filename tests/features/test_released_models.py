"""The files of CrOC's and HSG's authors."""

import pytest
import torch

from mmcroc.features.checkpoint_backbone import find_backbone, load_all
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.inference.segmentation import init_model, segment_image
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.released_croc import convert_released_network
from tests.support.images import smooth_image
from tests.support.released_checkpoints import released_hsg
from tests.support.weight_files import evaluated

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('part', ['', 'teacher', 'student'])
@pytest.mark.parametrize('with_heads', [True, False])
def test_crocs_networks_are_had_with_and_without_heads(fixtures_dir, tmp_path, part, with_heads):
    """The tiny fixture's attention heads have 16 dimensions; that must be said."""
    checkpoint, config = read_checkpoint(str(fixtures_dir / 'croc_checkpoint_tiny.pth'))
    wanted = convert_released_network(checkpoint[part or 'teacher'])
    if not with_heads:
        for name in ('teacher', 'student'):
            checkpoint[name] = {k: v for k, v in checkpoint[name].items() if 'backbone.' in k}
    heads = checkpoint['teacher']['backbone.cls_token'].shape[-1] // 16
    found = find_backbone(checkpoint, config, part, heads)
    assert found.role == (part or 'teacher')
    backbone = MODELS.build(found.config)
    backbone.load_state_dict(found.state, strict=True)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, wanted[f'backbone.{name}']), name
    path = tmp_path / 'croc.pth'
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r'croc\.pth.*attention heads is unknown'):
        load_backbone(f'{path}:{part}' if part else str(path))


def test_hsg_gives_the_pixel_embedding_of_our_model(tmp_path):
    """At stride 8: the training's map is every other pixel of it."""
    model = released_hsg(tmp_path / 'hsg.pth')
    embedding = evaluated(load_backbone(str(tmp_path / 'hsg.pth')))
    want = model.extract_feat(IMAGES)[0]
    torch.testing.assert_close(dense_tokens(embedding, IMAGES)[..., ::2, ::2], want)
    backbone = evaluated(load_backbone(f'{tmp_path / "hsg.pth"}:backbone'))
    want = model.backbone(IMAGES)[-1]
    torch.testing.assert_close(dense_tokens(backbone, IMAGES)[..., ::2, ::2], want)
    with pytest.raises(ValueError, match='HSG has no student'):
        load_backbone(f'{tmp_path / "hsg.pth"}:student')


def test_hsg_segments_images_with_its_levels(tmp_path):
    model = released_hsg(tmp_path / 'hsg.pth')
    loaded = init_model(None, str(tmp_path / 'hsg.pth'))
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert list(segment_image(loaded, smooth_image(64, 64, 0))) == [
        'segments',
        'level_1',
        'level_2',
    ]


def test_hsgs_first_stage_has_embedding_alone(tmp_path):
    model = released_hsg(tmp_path / 'hsg.pth', stage=1)
    embedding = evaluated(load_backbone(str(tmp_path / 'hsg.pth')))
    want = model.extract_feat(IMAGES)[0]
    torch.testing.assert_close(dense_tokens(embedding, IMAGES)[..., ::2, ::2], want)


def test_weights_of_parts_that_a_model_goes_without_are_left_over():
    """Torch itself says nothing of them."""
    model = torch.nn.Linear(1, 1)
    model.register_module('absent', None)
    state = {**model.state_dict(), 'absent.weight': torch.zeros(1)}
    model.load_state_dict(state, strict=True)
    with pytest.raises(ValueError, match=r'unexpected absent\.weight'):
        load_all(model, state, 'hsg.pth')


def test_parts_that_are_missing_or_foreign_are_named(tmp_path):
    path = tmp_path / 'hsg.pth'
    released_hsg(path)
    content = torch.load(path, weights_only=True)
    network = content['embedding_model']
    content['embedding_model'] = {**network, 'semantic_head.weight': torch.zeros(1)}
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'hsg\.pth: not keys of HSG.*: semantic_head\.weight'):
        load_backbone(str(path))
    kept = {k: v for k, v in network.items() if not k.startswith('conv_out.3.')}
    torch.save(dict(embedding_model=kept), path)
    with pytest.raises(ValueError, match=r"hsg\.pth: .* without 'neck\.projection\.1\.weight'"):
        load_backbone(str(path))
    kept = {k: v for k, v in network.items() if k != 'resnet_backbone.res3.1.conv2.weight'}
    torch.save(dict(embedding_model=kept), path)
    with pytest.raises(ValueError, match=r'(?s)another architecture.*layer2\.1\.conv2\.weight'):
        load_backbone(str(path))
