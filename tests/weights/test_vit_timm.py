"""Vision Transformers under timm's names and MMPretrain's."""

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked

from mmcroc.registry import MODELS
from mmcroc.weights.key_map import UnknownKeysError
from mmcroc.weights.vit_names import vit_from_timm, vit_to_timm
from tests.support.weight_files import drawn

ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
#: (changes of timm's model, changes of MMPretrain's)
KINDS = dict(
    plain=({}, {}),
    layer_scale=(dict(init_values=0.5), dict(layer_scale_init_value=0.5)),
    swiglu=(
        dict(init_values=0.5, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=128 / 48),
        dict(layer_scale_init_value=0.5, layer_cfgs=dict(ffn_type='swiglu_fused')),
    ),
    norm_before=(dict(pre_norm=True), dict(pre_norm=True)),
    registers=(
        dict(reg_tokens=4, no_embed_class=True),
        dict(type='mmcroc.VisionTransformer', num_registers=4, position_antialias=True),
    ),
)
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def timm_vit(**changes):
    settings = dict(img_size=32, patch_size=8, num_classes=0, embed_dim=48, depth=2, num_heads=3)
    return drawn(timm.models.VisionTransformer(**{**settings, 'mlp_ratio': 2, **changes}))


def mmpretrain_vit(**changes):
    cfg = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
    return drawn(MODELS.build(dict(cfg, out_type='raw', **changes)), seed=2)


@pytest.mark.parametrize('kind', KINDS)
def test_both_libraries_give_the_same_tokens(kind):
    source, target = timm_vit(**KINDS[kind][0]), mmpretrain_vit(**KINDS[kind][1])
    target.load_state_dict(vit_from_timm(source.state_dict()), strict=True)
    want = source.forward_features(IMAGES)
    want = torch.cat([want[:, :1], want[:, source.num_prefix_tokens :]], 1)
    assert want.shape == (2, 1 + 16, 48) and want.std() > 0.1
    torch.testing.assert_close(target(IMAGES)[-1], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_there_and_back_nothing_changes(kind):
    state = mmpretrain_vit(**KINDS[kind][1]).state_dict()
    model = timm_vit(**KINDS[kind][0])
    model.load_state_dict(vit_to_timm(state), strict=True)
    back = vit_from_timm(model.state_dict())
    if kind == 'registers':  # timm has [CLS] and its position as one
        first = state['pos_embed'][:, :1].clone()
        state['cls_token'] += first
        state['pos_embed'][:, :1] -= first
    assert list(back) and back.keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in back.items())


def test_keys_of_other_models_are_named():
    with pytest.raises(UnknownKeysError, match=r'head\.weight') as error:
        vit_from_timm(timm_vit(num_classes=2).state_dict())
    assert error.value.keys == ['head.weight', 'head.bias']
    with pytest.raises(UnknownKeysError, match=r'neck\.mlp\.0\.weight'):
        vit_to_timm({**mmpretrain_vit().state_dict(), 'neck.mlp.0.weight': torch.zeros(1)})
    with pytest.raises(UnknownKeysError, match='and 7 more'):
        vit_to_timm({f'layers.0.other{i}': torch.zeros(1) for i in range(12)})


def test_positions_with_registers_are_resized_as_timm_does():
    """Antialiased, as DINOv2's code resizes them."""
    source = timm_vit(**KINDS['registers'][0], dynamic_img_size=True)
    target = mmpretrain_vit(**KINDS['registers'][1])
    target.load_state_dict(vit_from_timm(source.state_dict()), strict=True)
    for images in (IMAGES[..., :24], IMAGES.repeat(1, 1, 2, 1)):
        want = source.forward_features(images)[:, 5:]
        torch.testing.assert_close(target(images)[-1][:, 1:], want, rtol=0, atol=1e-5)
