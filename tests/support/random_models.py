"""Checkpoints with random weights, in which no parameter is at a value that hides a mistake."""

from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.registry import MODELS

PREPROCESSOR = dict(type='mmcroc.TwoViewDataPreprocessor', mean=[120, 110, 100], std=[60, 55, 50])
TINY = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
#: Of the size that its positions are for.
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
OTHER_IMAGES = torch.randn(3, 3, 96, 48, generator=torch.Generator().manual_seed(2))


@dataclass
class Saved:
    """A checkpoint and its backbone, evaluating."""

    path: Path
    backbone: nn.Module

    @torch.no_grad()
    def tokens(self, images: Tensor) -> Tensor:
        """Dense map (B, C, h, w)."""
        return dense_tokens(self.backbone, images)


def vit_config(arch='deit-small', patch_size=16, **changes):
    """Of a ViT for images of 64 px."""
    cfg = dict(type='mmcroc.VisionTransformer', arch=arch, img_size=64, patch_size=patch_size)
    return dict(cfg, **changes)


def random_backbone(cfg, seed=0):
    """A backbone whose every parameter and statistic is drawn."""
    torch.manual_seed(seed)
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.normal_(module.bias, std=0.1)
    for parameter in backbone.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.05 * torch.randn_like(parameter)
    backbone.eval()
    return backbone


def save(folder, cfg, model_type='ImageClassifier', seed=0, **meta) -> Saved:
    """Write ``folder/checkpoint.pth``; of CrOC a teacher, and a student with other weights."""
    backbone = random_backbone(cfg, seed)
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    if model_type == 'mmcroc.CrOC':
        student = random_backbone(cfg, seed + 1)
        state = {f'teacher.{key}': value for key, value in state.items()}
        state |= {f'backbone.{key}': value for key, value in student.state_dict().items()}
    config = dict(
        model=dict(type=model_type, backbone=cfg, target_generator=dict(type='x')),
        default_scope='mmpretrain',
        data_preprocessor=PREPROCESSOR,
        train_dataloader=dict(
            dataset=dict(
                type='mmcroc.UnlabelledImages',
                data_root='/somewhere/private/VOC2012',
                folders=['JPEGImages'],
                ann_file='ImageSets/trainaug.txt',
            )
        ),
    )
    path = folder / 'checkpoint.pth'
    meta = dict(dict(cfg=Config(config).pretty_text, epoch=7, iter=70, seed=5), **meta)
    torch.save(dict(state_dict=state, meta=meta), path)
    return Saved(path, backbone)


def assert_same_tokens(found, wanted):
    """Equal to 1e-5 of the largest."""
    assert found.shape == wanted.shape
    error = (found - wanted).abs().max().item()
    assert error <= 1e-5 * max(1.0, wanted.abs().max().item()), error


def assert_same_weights(found, wanted):
    """Bit by bit, under the same names."""
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def run_usage(export, **names):
    """Run the code that an export says loads it; gives what it defines."""
    with torch.no_grad():
        exec(export.usage, names)
    return names


def as_map(tokens, images, patch_size=16):
    """(B, n, C) tokens -> (B, C, h, w)."""
    return tokens.mT.unflatten(-1, [side // patch_size for side in images.shape[-2:]])
