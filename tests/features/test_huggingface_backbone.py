"""Models of Hugging Face's transformers, built here and saved to a folder."""

import pytest
import torch
import transformers

from mmcroc import optional
from mmcroc.features.pretrained_backbone import load_backbone

SMALL = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, patch_size=8,
    image_size=32, mlp_ratio=2,
)  # fmt: skip
KINDS = dict(
    vit=(transformers.ViTConfig, transformers.ViTModel, 1),
    dinov2=(transformers.Dinov2Config, transformers.Dinov2Model, 1),
    registers=(
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersModel,
        1 + 4,
    ),
    dinov3=(transformers.DINOv3ViTConfig, transformers.DINOv3ViTModel, 1 + 4),
)


def saved(tmp_path, kind):
    """A model with drawn weights, in a folder."""
    config, model, extra = KINDS[kind]
    settings = dict(SMALL, num_register_tokens=4) if extra > 1 else SMALL
    torch.manual_seed(0)
    source = model(config(**settings)).eval()
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    source.save_pretrained(tmp_path / 'model')
    return source, extra


def test_a_folder_is_loaded_without_a_bar_and_bars_stay_on(tmp_path, capfd):
    saved(tmp_path, 'vit')
    capfd.readouterr()
    load_backbone(f'hf:{tmp_path / "model"}')
    assert '%|' not in capfd.readouterr().err
    assert transformers.utils.logging.is_progress_bar_enabled()


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(32, 32), (24, 48)])
def test_patch_tokens_are_those_of_transformers(tmp_path, kind, size):
    source, extra = saved(tmp_path, kind)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    backbone = load_backbone(f'hf:{tmp_path / "model"}').eval()
    options = dict(interpolate_pos_encoding=True) if kind == 'vit' else {}
    with torch.no_grad():
        want = source(pixel_values=images, **options).last_hidden_state[:, extra:]
        got = backbone(images)[0]
    assert got.shape == (2, 32, size[0] // 8, size[1] // 8) and want.std() > 0.1
    torch.testing.assert_close(got.flatten(2).mT, want, rtol=0, atol=1e-5)


def test_a_folder_without_all_weights_is_refused(tmp_path):
    source, _ = saved(tmp_path, 'dinov2')
    state = {k: v for k, v in source.state_dict().items() if not k.startswith('layernorm.')}
    source.save_pretrained(tmp_path / 'model', state_dict=state)
    with pytest.raises(ValueError, match=r'lacks weights of Dinov2Model.*layernorm'):
        load_backbone(f'hf:{tmp_path / "model"}')


def test_names_that_mean_nothing_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(ValueError, match=r'hf:.*missing cannot be loaded'):
        load_backbone(f'hf:{tmp_path / "missing"}')


@pytest.mark.parametrize(
    ('name', 'install'),
    [('hf:facebook/dinov2-small', r'mmcroc\[export\]'), ('timm:resnet50', 'timm')],
)
def test_a_missing_library_is_named_with_what_to_install(monkeypatch, name, install):
    def missing(name):
        raise ImportError(f'No module named {name!r}')

    monkeypatch.setattr(optional.importlib, 'import_module', missing)
    with pytest.raises(ImportError, match=rf'{name} needs .*pip install "{install}"'):
        load_backbone(name)
