"""Every layout that can be evaluated can be trained from, as the file is."""

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint

from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.pictures.painters import tapped_backbone
from mmcroc.registry import MODELS
from mmcroc.training.checkpoints import safe_checkpoint_reading
from tests.support.croc_models import SMALL, build_croc, croc_config, small_croc
from tests.support.weight_files import DINOV2, GIANT, dino_checkpoint, drawn, vit, with_prefix

VIT = dict(
    type='mmcroc.VisionTransformer',
    arch=dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=256),
    img_size=32,
    patch_size=8,
)
REGISTERS = dict(reg_tokens=4, no_embed_class=True)
SCALED = dict(layer_scale_init_value=1e-5)


@pytest.fixture(autouse=True)
def readers():
    with safe_checkpoint_reading():
        yield


def metas(state):
    """Meta's names of a ViT with registers, positions of [CLS] included."""
    state = dict(state, register_tokens=state['reg_token'], mask_token=torch.zeros(1, 128))
    positions = state['pos_embed']
    state['pos_embed'] = torch.cat([torch.randn(1, 1, 128), positions], 1)
    del state['reg_token']
    return state


@pytest.mark.parametrize(
    ('content', 'settings'),
    [
        (vit().state_dict(), {}),
        (dino_checkpoint(vit(1), vit(2)), {}),
        (dict(model=with_prefix('module.', vit().state_dict())), {}),
        (vit(**DINOV2).state_dict(), SCALED),
        (vit(**GIANT).state_dict(), dict(SCALED, layer_cfgs=dict(ffn_type='swiglu_fused'),
         arch=dict(VIT['arch'], feedforward_channels=240))),
        (vit(**REGISTERS).state_dict(), dict(num_registers=4, position_antialias=True)),
        (metas(vit(**REGISTERS).state_dict()), dict(num_registers=4, position_antialias=True)),
    ],
    ids=['timm', 'DINO', 'MAE', 'DINOv2', 'DINOv2-g', 'registers, timm', 'registers, Meta'],
)  # fmt: skip
def test_init_cfg_gives_the_tokens_of_evaluation(tmp_path, content, settings):
    path = str(tmp_path / 'weights.pth')
    torch.save(content, path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    backbone = MODELS.build({**VIT, **settings, 'init_cfg': init_cfg})
    backbone.init_weights()
    backbone.eval()
    evaluated = load_backbone(path)
    evaluated.eval()
    for side in (32, 48):
        images = torch.randn(1, 3, side, side)
        want = evaluated.forward_tapped(images, 'k')
        for got, tokens in zip(backbone.forward_tapped(images, 'k'), want, strict=True):
            assert torch.equal(got, tokens)


DINOV3 = dict(embed_dim=64, depth=2, num_heads=2, patch_size=8)


def dinov3():
    torch.manual_seed(0)
    model = timm.create_model('vit_small_patch16_dinov3_qkvb', num_classes=0, **DINOV3)
    return drawn(model)


def dinov3_backbone(**changes):
    return dict(
        type='mmcroc.TimmVisionTransformer', model_name='vit_small_patch16_dinov3_qkvb',
        pretrained=False, settings=DINOV3, **changes,
    )  # fmt: skip


def test_croc_trains_from_dinov3(tmp_path):
    source = dinov3()
    torch.save(source.state_dict(), tmp_path / 'dinov3.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'dinov3.pth'), prefix='backbone.')
    cfg = Config(croc_config())
    cfg.model.backbone = dinov3_backbone(init_cfg=init_cfg)
    cfg.model.neck.in_channels = 64
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    state = source.state_dict()
    for network in (model.backbone, model.teacher['backbone']):
        assert all(torch.equal(v, state[k]) for k, v in network.model.state_dict().items())
    boxes = torch.tensor([[0.0, 0, 32, 32, 0]]).expand(2, 2, 5)
    losses = model.loss(torch.randn(4, 3, 32, 32), None, boxes)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert model.backbone.model.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    assert tapped_backbone(model) is model.teacher['backbone']  # what pictures are made of


@pytest.mark.parametrize('feature', ['q', 'k', 'v'])
def test_timms_attention_is_looked_at_before_the_rotation(feature):
    """The oracle is one linear layer of what timm's own attention is given."""
    backbone = MODELS.build(dinov3_backbone())
    backbone.model.load_state_dict(dinov3().state_dict())
    backbone.eval()
    images, given = torch.randn(2, 3, 32, 48), []
    attention = backbone.model.blocks[-1].attn
    attention.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    found = backbone.forward_tapped(images, feature)
    bias = torch.cat([attention.q_bias, torch.zeros(64), attention.v_bias])
    qkv = torch.nn.functional.linear(given[0], attention.qkv.weight, bias)
    want = qkv.unflatten(-1, (3, 2, 32))[:, :, 'qkv'.index(feature)].transpose(1, 2)
    want = torch.cat([want[:, :, :1], want[:, :, 5:]], 2)
    torch.testing.assert_close(found.attention, want)
    grid = backbone.grid_size(images)
    torch.testing.assert_close(found.tokens.mT.unflatten(-1, grid), backbone(images)[0])
    with pytest.raises(ValueError, match='no multiple'):
        backbone.forward_tapped(images[..., :30])


def test_a_backbone_with_registers_trains_crocs_student_and_teacher():
    """Registers get gradients, and no view's clusters hold any."""
    model = small_croc(num_registers=4)
    images = torch.randn(2, 3, 32, 32)
    seen = model.backbone.forward_tapped(images, 'k')
    assert seen.tokens.shape == (2, 16, SMALL['embed_dims'])
    assert seen.attention.shape[2] == 1 + 16
    seen.tokens.square().sum().backward()
    assert model.backbone.register_tokens.grad.abs().sum() > 0
    assert model.teacher['backbone'].register_tokens.shape == (1, 4, SMALL['embed_dims'])


def test_the_checkpoint_of_crocs_authors_is_taken_as_it_is(fixtures_dir):
    path = str(fixtures_dir / 'croc_checkpoint_tiny.pth')
    checkpoint = CheckpointLoader.load_checkpoint(path)
    names = {name.partition('.')[0] for name in checkpoint['state_dict']}
    assert names == {'backbone', 'neck', 'head', 'teacher'}
    with pytest.raises(ValueError, match='do not fit the VisionTransformer'):
        load_checkpoint(build_croc(), path)  # another size
