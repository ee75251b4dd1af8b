"""A training starts from any backbone that CrOC can train, student and teacher alike."""

import pytest
import timm
import torch
import transformers
from mmengine.config import Config
from torchvision.models import resnet18

from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from mmcroc.training.checkpoints import safe_checkpoint_reading
from mmcroc.training.starting_weights import find_trainable, start_from
from tests.support.croc_models import croc_config, save_croc
from tests.support.weight_files import DINOV2, drawn, evaluated, vit

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def started(model, **views):
    """A tiny CrOC that starts from a MODEL."""
    cfg = Config(croc_config())
    cfg.train_dataloader.dataset.pipeline[0].update(views)
    start_from(cfg, str(model))
    croc = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    with safe_checkpoint_reading():
        croc.init_weights()
    return croc.eval()


def tokens(network):
    with torch.no_grad():
        return evaluated(network).forward_tapped(IMAGES, 'k')


def assert_starts_as(croc, want):
    for network in (croc.backbone, croc.teacher['backbone']):
        for got, wanted in zip(tokens(network), want, strict=True):
            assert torch.equal(got, wanted)
    assert {p.dtype for p in croc.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    'changes', [{}, DINOV2, dict(DINOV2, reg_tokens=4, no_embed_class=True), dict(embed_dim=192)]
)
def test_one_config_serves_other_architectures(tmp_path, changes):
    heads = dict(num_heads=3) if 'embed_dim' in changes else {}
    torch.save(vit(**changes, **heads).state_dict(), tmp_path / 'weights.pth')
    croc = started(tmp_path / 'weights.pth')
    assert_starts_as(croc, tokens(load_backbone(str(tmp_path / 'weights.pth'))))


def test_a_half_precision_folder_of_hugging_faces_is_trained_in_float32(tmp_path):
    settings = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        patch_size=8, image_size=32, mlp_ratio=2,
    )  # fmt: skip
    source = drawn(transformers.Dinov2Model(transformers.Dinov2Config(**settings))).half()
    source.save_pretrained(tmp_path / 'dinov2')
    croc = started(f'hf:{tmp_path / "dinov2"}')
    assert croc.backbone.num_heads == 2  # of config.json; shapes do not tell
    with torch.no_grad():
        want = evaluated(source.float())(pixel_values=IMAGES).last_hidden_state
    for network in (croc.backbone, croc.teacher['backbone']):
        found = tokens(network)
        got = torch.cat([found.cls_token[:, None], found.tokens], 1)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert {p.dtype for p in croc.parameters()} == {torch.float32}


def test_the_rate_of_stochastic_depth_stays_the_configs(tmp_path):
    torch.save(vit().state_dict(), tmp_path / 'weights.pth')
    cfg = Config(croc_config())
    cfg.model.backbone.drop_path_rate = 0.3
    start_from(cfg, str(tmp_path / 'weights.pth'))
    assert cfg.model.backbone.drop_path_rate == 0.3
    assert cfg.model.backbone.init_cfg.checkpoint == f'backbone:{tmp_path / "weights.pth"}'
    assert cfg.model.neck.in_channels == 128


@pytest.mark.parametrize('part', ['teacher', 'student'])
def test_a_checkpoint_of_crocs_gives_either_network_to_both(tmp_path, part):
    model, path = save_croc(tmp_path)
    source = model.teacher['backbone'] if part == 'teacher' else model.backbone
    assert_starts_as(started(path if part == 'teacher' else f'{path}:student'), tokens(source))


@pytest.mark.parametrize(
    'name',
    ['vit_tiny_patch16_224', 'vit_small_patch14_reg4_dinov2', 'vit_small_patch16_dinov3_qkvb'],
)
def test_a_model_of_timms_brings_its_architecture(tmp_path, monkeypatch, name):
    small = dict(depth=2, embed_dim=64, num_heads=2, img_size=56 if '14' in name else 64)
    make = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda *a, **k: make(*a, **{**k, **small}))
    torch.save(drawn(make(name, num_classes=0, **small)).state_dict(), tmp_path / 'weights.pth')
    model = f'timm:{name}@{tmp_path / "weights.pth"}'
    found = find_trainable(model)
    # Of the size of its positions: timm resizes them in another way.
    images = torch.randn(2, 3, small['img_size'], small['img_size'])
    with torch.no_grad():
        got = evaluated(found.build(model)).forward_tapped(images).tokens
        want = evaluated(load_backbone(model))(images)[0].flatten(2).mT
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


def test_a_model_of_timms_that_computes_otherwise_is_refused(tmp_path, monkeypatch):
    small = dict(depth=2, embed_dim=64, num_heads=1, img_size=32, patch_size=8)
    make = timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda *a, **k: make(*a, **{**k, **small}))
    name = 'vit_base_patch32_clip_quickgelu_224'
    torch.save(drawn(make(name, num_classes=0, **small)).state_dict(), tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'computes other tokens than mmcroc\.Vision'):
        find_trainable(f'timm:{name}@{tmp_path / "weights.pth"}')


def saved(path, state):
    torch.save(state, path)
    return path


def test_what_cannot_be_started_from_is_refused_in_a_sentence(tmp_path):
    whole = vit().state_dict()
    few = {name: value for name, value in whole.items() if not name.startswith('norm.')}
    for model, message in (
        (saved(tmp_path / 'resnet.pth', resnet18().state_dict()),
         r'it is a ResNet, which has no \[CLS\] and no keys of attention'),
        (saved(tmp_path / 'few.pth', dict(few, **{'norm.weight': torch.ones(128)})),
         r'(?s)few.pth holds another architecture than this VisionTransformer.*ln1.bias'),
        (tmp_path / 'none.pth', 'no checkpoint at'),
        (f'hf:{tmp_path / "none"}', 'no checkpoint at'),
        ('random', 'it is no checkpoint, hf:FOLDER or timm:NAME'),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            started(model)
    path = saved(tmp_path / 'whole.pth', whole)
    with pytest.raises(
        ValueError, match=r'views of 36 px are no multiple of its patches of 8 px: set .*size=32'
    ):
        started(path, size=36)
    hsg = Config(dict(model=dict(type='mmcroc.HSG', backbone=dict(type='mmseg.ResNet'))))
    with pytest.raises(ValueError, match=r'configs of a FrozenBackbone, not for this mmcroc\.HSG'):
        start_from(hsg, str(path))


def test_a_configs_own_weights_that_are_missing_are_named(tmp_path):
    """Those of init_cfg, without --backbone."""
    cfg = Config(croc_config())
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))
    croc = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    missing = pytest.raises(FileNotFoundError, match=r'no checkpoint at .*none\.pth')
    with missing, safe_checkpoint_reading():
        croc.init_weights()


def test_views_that_patches_do_not_divide_are_refused_at_the_first_step():
    croc = MODELS.build(Config(croc_config()).model)
    boxes = torch.tensor([0.0, 0.0, 36.0, 36.0, 0.0]).expand(2, 1, 5)
    with pytest.raises(
        ValueError, match=r"36x36 px are no multiple of the backbone's patch_size=8"
    ):
        croc(torch.zeros(2, 3, 36, 36), mode='loss', view_boxes=boxes)
