"""The tapped ViT is MMPretrain's, with the last attention's features besides."""

import copy

import pytest
import torch
from mmpretrain.models import VisionTransformer as MMPretrainVisionTransformer

from mmcroc.croc.target_generator import OnlineClustering
from mmcroc.features.vision_transformer import VisionTransformer

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    backbone = VisionTransformer(arch=ARCH, img_size=32, patch_size=8)
    backbone.init_weights()
    backbone.eval()
    return backbone


def test_its_state_loads_into_mmpretrains_without_a_missing_or_unexpected_key(backbone):
    theirs = MMPretrainVisionTransformer(arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    theirs.load_state_dict(backbone.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32)
    theirs.eval()
    torch.testing.assert_close(theirs(images)[0], backbone(images)[0])


@pytest.mark.parametrize('feature', ['q', 'k', 'v'])
def test_the_tap_gives_the_last_blocks_feature_by_head(backbone, feature):
    images = torch.randn(2, 3, 32, 32)
    found = backbone.forward_tapped(images, feature)
    # By hand: tokens before the last block, its norm, the feature's third of its projection.
    upto = MMPretrainVisionTransformer(
        arch=ARCH, img_size=32, patch_size=8, out_type='raw', out_indices=[1]
    )
    upto.load_state_dict(backbone.state_dict())
    upto.eval()
    attention = backbone.layers[-1].attn
    third = 'qkv'.index(feature)
    weight = attention.qkv.weight[24 * third : 24 * (third + 1)]
    bias = attention.qkv.bias[24 * third : 24 * (third + 1)]
    want = backbone.layers[-1].ln1(upto(images)[0]) @ weight.T + bias
    for head in range(2):
        torch.testing.assert_close(found.attention[:, head], want[..., 12 * head : 12 * head + 12])
    raw = backbone(images)[0]
    assert torch.equal(found.cls_token, raw[:, 0]) and torch.equal(found.tokens, raw[:, 1:])


@pytest.mark.parametrize('feature', ['q', 'k', 'v'])
def test_under_bfloat16_the_tapped_feature_is_float32_and_not_rounded(backbone, feature):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        found = backbone.forward_tapped(images, feature).attention
    assert found.dtype == torch.float32
    rounded = found == found.bfloat16().float()
    assert rounded.float().mean() < 0.05


def test_under_bfloat16_sharp_keys_cluster_more_as_in_float32_than_rounded_ones(backbone):
    """Keys that are much alike but for a small part, which decides on the clusters."""
    batch = 16
    with torch.no_grad():
        backbone.layers[-1].attn.qkv.bias.normal_(generator=torch.Generator().manual_seed(2))
    images = torch.randn(2 * batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing='ij')
    positions = torch.stack([columns, rows], dim=-1).view(1, 1, 16, 2).expand(2, batch, -1, -1)
    seeds = torch.tensor([0, 9, 17, 31]).expand(batch, 2, 4)
    clustering = OnlineClustering(num_start_clusters=4, max_clusters=4, position_weight=0.0)

    def partition(found):
        return clustering(found, positions, seeds).plans.argmax(dim=-1)

    with torch.no_grad():
        plain = backbone.forward_tapped(images, 'k')
        with torch.autocast('cpu', torch.bfloat16):
            found = backbone.forward_tapped(images, 'k')
    rounded = found._replace(attention=found.attention.bfloat16().float())
    want = partition(plain)
    agreement = [(partition(keys) == want).float().mean().item() for keys in (found, rounded)]
    assert agreement[0] > agreement[1] + 0.02, agreement


def test_tapping_leaves_no_hook_behind_and_copies_are_independent(backbone):
    images = torch.randn(1, 3, 32, 32)
    twin = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    before = backbone.forward_tapped(images, 'k').attention
    other = twin.forward_tapped(images, 'k').attention
    assert not torch.allclose(before, other)
    assert not backbone.layers[-1].attn.qkv._forward_pre_hooks


def test_the_start_is_the_released_one():
    torch.manual_seed(0)
    wide = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=768)
    backbone = VisionTransformer(arch=wide, img_size=128, patch_size=16)
    backbone.init_weights()
    state = backbone.state_dict()
    for name, value in state.items():
        if name.startswith('patch_embed.projection'):
            bound = (3 * 16 * 16) ** -0.5
            assert value.abs().max() <= bound
            assert value.std() == pytest.approx(bound / 3**0.5, rel=0.15)
        elif 'ln' in name and name.endswith('weight'):
            assert (value == 1).all()
        elif name.endswith('bias'):
            assert not value.any()
        else:
            assert value.std() == pytest.approx(0.02, rel=0.1), name


def test_a_size_that_is_no_multiple_of_the_patch_is_refused_by_field(backbone):
    with pytest.raises(ValueError, match=r'30x32 px.*patch_size=8.*TwoViews'):
        backbone.forward_tapped(torch.zeros(1, 3, 30, 32))


@pytest.mark.parametrize('sides', [(72, 56), (48, 48)])
def test_positions_are_resized_by_dinos_scale_factor(sides, backbone):
    """As DINO's interpolate_pos_encoding, written out: its code adds 0.1 to rows and columns."""
    images = torch.randn(2, 3, *sides)
    rows, columns = sides[0] // 8, sides[1] // 8
    positions = backbone.pos_embed[:, 1:].reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / 4, (columns + 0.1) / 4)
    positions = torch.nn.functional.interpolate(positions, scale_factor=factors, mode='bicubic')
    assert positions.shape[2:] == (rows, columns)
    table = torch.cat([backbone.pos_embed[:, :1], positions.flatten(2).mT], 1)
    large = VisionTransformer(arch=ARCH, img_size=sides, patch_size=8)
    large.eval()
    large.load_state_dict(backbone.state_dict() | {'pos_embed': table})
    plain = backbone(images)[0]
    backbone.position_offset = 0.1
    torch.testing.assert_close(backbone(images)[0], large(images)[0])
    assert not torch.allclose(backbone(images)[0], plain)
    assert backbone.pos_embed.shape == (1, 17, 24) and backbone.patch_resolution == (4, 4)


def test_position_offset_changes_nothing_at_the_trained_size(backbone):
    images = torch.randn(2, 3, 32, 32)
    plain = backbone(images)[0]
    backbone.position_offset = 0.1
    assert torch.equal(backbone(images)[0], plain)


def test_every_block_attends_by_torchs_fused_attention(backbone, monkeypatch):
    calls = []
    for layer in backbone.layers:
        fused = layer.attn.scaled_dot_product_attention
        assert fused is torch.nn.functional.scaled_dot_product_attention

        def counted(*args, fused=fused, **kwargs):
            calls.append(fused)
            return fused(*args, **kwargs)

        monkeypatch.setattr(layer.attn, 'scaled_dot_product_attention', counted)
    backbone.forward_tapped(torch.randn(1, 3, 32, 32), 'k')
    assert len(calls) == len(backbone.layers)
