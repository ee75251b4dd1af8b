"""DINOv3's files in Meta's layout; the oracle is Hugging Face's own implementation."""

import pytest
import torch
import transformers

from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.weights.vit_names import dinov3_to_timm

DIMS, HEADS, LAYERS = 128, 2, 2
IMAGES = torch.randn(2, 3, 48, 32, generator=torch.Generator().manual_seed(0))
#: (transformers' name, Meta's)
NAMES = [
    ('embeddings.register_tokens', 'storage_tokens'),
    ('embeddings.cls_token', 'cls_token'),
    ('embeddings.patch_embeddings', 'patch_embed.proj'),
    ('attention.o_proj', 'attn.proj'),
    ('layer_scale1.lambda1', 'ls1.gamma'),
    ('layer_scale2.lambda1', 'ls2.gamma'),
]
MLP = [('mlp.up_proj', 'mlp.fc1'), ('mlp.down_proj', 'mlp.fc2')]
SWIGLU = [('mlp.gate_proj', 'mlp.w1'), ('mlp.up_proj', 'mlp.w2'), ('mlp.down_proj', 'mlp.w3')]


def model_of_transformers(gated):
    config = transformers.DINOv3ViTConfig(
        hidden_size=DIMS, num_attention_heads=HEADS, num_hidden_layers=LAYERS, patch_size=8,
        intermediate_size=192, num_register_tokens=4, use_gated_mlp=gated, image_size=32,
        hidden_act='silu' if gated else 'gelu',
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.DINOv3ViTModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def meta_state(model, gated):
    """Its weights as Meta names them."""
    state, renamed = model.state_dict(), {}
    for key, value in state.items():
        for old, new in NAMES + (SWIGLU if gated else MLP):
            key = key.replace(old, new)
        key = key.replace('model.layer.', 'blocks.')
        key = key.replace('layer.', 'blocks.') if key.startswith('layer.') else key
        renamed[key] = value
    for block in range(LAYERS):
        prefix = f'blocks.{block}.attention.'
        parts = [[renamed.pop(f'{prefix}{p}_proj.weight') for p in 'qkv']]
        parts.append(
            [renamed.pop(f'{prefix}{p}_proj.bias', torch.full((DIMS,), 3.0)) for p in 'qkv']
        )
        attn = f'blocks.{block}.attn.qkv.'
        renamed[f'{attn}weight'], renamed[f'{attn}bias'] = (torch.cat(part) for part in parts)
        ones = torch.ones(DIMS)
        renamed[f'{attn}bias_mask'] = torch.cat([ones, 0 * ones, ones])
    renamed = {key.replace('embeddings.mask_token', 'mask_token'): v for key, v in renamed.items()}
    periods = 100 ** (torch.arange(DIMS / HEADS / 4) / (DIMS / HEADS / 4))
    renamed['rope_embed.periods'] = periods.bfloat16()
    return renamed


@pytest.mark.parametrize('gated', [False, True])
def test_metas_layout_gives_the_tokens_of_transformers(tmp_path, gated):
    source = model_of_transformers(gated)
    path = tmp_path / 'dinov3.pth'
    torch.save(meta_state(source, gated), path)
    backbone = load_backbone(str(path)).eval()
    with torch.no_grad():
        want = source(pixel_values=IMAGES).last_hidden_state[:, 5:]
        got = backbone(IMAGES)[0].flatten(2).mT
    assert want.std() > 0.1
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_timms_layout_gives_the_same(tmp_path):
    state = meta_state(model_of_transformers(False), False)
    converted = {k: v for k, v in state.items() if k != 'mask_token'}
    for name, content in dict(meta=state, timm=dinov3_to_timm(converted)).items():
        torch.save(content, tmp_path / f'{name}.pth')
    meta, timm = (load_backbone(str(tmp_path / f'{n}.pth')).eval() for n in ('meta', 'timm'))
    with torch.no_grad():
        assert torch.equal(meta(IMAGES)[0], timm(IMAGES)[0])


def test_positions_and_biases_that_timm_does_not_have_are_refused():
    state = meta_state(model_of_transformers(False), False)
    with pytest.raises(ValueError, match='rotary periods'):
        dinov3_to_timm({**state, 'rope_embed.periods': 10.0 ** torch.arange(16)})
    unmasked = {k: v for k, v in state.items() if not k.endswith('bias_mask')}
    with pytest.raises(ValueError, match='a bias of keys'):
        dinov3_to_timm(unmasked)
    with pytest.raises(ValueError, match=r'cls_norm\.weight'):
        dinov3_to_timm({**state, 'cls_norm.weight': torch.zeros(DIMS), 'mask_token': None})
