"""Maps of layers before the last, of every kind of network."""

import pytest
import timm
import torch
import transformers
from torch import nn

from mmcroc.features.pretrained_backbone import FrozenModel, load_model
from mmcroc.registry import MODELS

SMALL = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def images():
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def hugging_face(tmp_path):
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, mlp_ratio=2, patch_size=8,
        image_size=32, num_register_tokens=2,
    )  # fmt: skip
    transformers.Dinov2WithRegistersModel(config).save_pretrained(tmp_path / 'model')
    return load_model(f'hf:{tmp_path / "model"}')


def ours(tmp_path):
    torch.manual_seed(0)
    cfg = dict(type='mmcroc.VisionTransformer', arch=SMALL, img_size=32, patch_size=8)
    vit = MODELS.build(dict(cfg, num_registers=2))
    vit.init_weights()
    return FrozenModel(vit)


def of_timm(tmp_path):
    torch.manual_seed(0)
    settings = dict(depth=3, embed_dim=24, num_heads=2, patch_size=8, img_size=32)
    name = 'vit_tiny_patch16_224'
    cfg = dict(type='mmcroc.TimmBackbone', model_name=name, pretrained=False, settings=settings)
    return FrozenModel(MODELS.build(cfg))


def of_mmpretrain(tmp_path):
    torch.manual_seed(0)
    cfg = dict(type='mmpretrain.VisionTransformer', arch=SMALL, img_size=32, patch_size=8)
    return FrozenModel(MODELS.build(dict(cfg, out_type='featmap')))


BLOCKS = dict(
    hugging_face='model.encoder.layer', ours='layers', of_timm='model.blocks',
    of_mmpretrain='layers',
)  # fmt: skip
NORMS = dict(hugging_face='model.layernorm', ours='ln1', of_timm='model.norm', of_mmpretrain='ln1')
MAKERS = [hugging_face, ours, of_timm, of_mmpretrain]


@pytest.mark.parametrize('make', MAKERS)
def test_layers_are_the_normed_outputs_of_blocks_and_the_last_is_the_features(make, tmp_path):
    model = make(tmp_path)
    network, seen = model.model, []
    blocks = network.get_submodule(BLOCKS[make.__name__])
    hook = blocks[1].register_forward_hook(lambda *call: seen.append(call[-1]))
    first, last, middle = model.layer_features(images(), [0, -1, 1])
    hook.remove()
    torch.testing.assert_close(last, model.features(images()), rtol=0, atol=1e-6)
    block = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    patches = network.get_submodule(NORMS[make.__name__])(block)[:, -4 * 6 :]
    torch.testing.assert_close(middle, patches.mT.unflatten(2, (4, 6)), rtol=0, atol=1e-5)
    assert first.shape == last.shape == (2, 24, 4, 6) and not torch.allclose(first, middle)


def test_stages_of_a_resnet_and_its_setting_stays():
    model = load_model('random:resnet18')
    before = model.model.out_indices
    maps = model.layer_features(images(), [-1, 0])
    assert [tuple(each.shape) for each in maps] == [(2, 512, 1, 2), (2, 64, 8, 12)]
    assert torch.equal(maps[0], model.features(images()))
    assert model.model.out_indices == before


def test_stages_of_a_timm_network():
    network = timm.create_model('resnet18', pretrained=False)
    cfg = dict(type='mmcroc.TimmBackbone', model_name='resnet18', pretrained=False)
    model = FrozenModel(MODELS.build(cfg))
    (stem,) = model.layer_features(images(), [0])
    assert stem.shape[1] == network.feature_info[0]['num_chs']


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('layer', [3, -4])
def test_a_layer_that_there_is_not_is_refused(make, layer, tmp_path):
    with pytest.raises(ValueError, match=rf'has 3 layers, 0 to 2 \(or -3 to -1\), no {layer}'):
        make(tmp_path).layer_features(images(), [0, layer])


@pytest.mark.parametrize('model', ['rgb', nn.Conv2d(3, 4, 8, 8)])
def test_networks_without_layers_are_refused(model):
    with pytest.raises(ValueError, match='hands out its last map only'):
        load_model(model).layer_features(images(), [-1])
