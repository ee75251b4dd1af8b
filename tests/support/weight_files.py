"""Weights as others write them, and networks whose every weight is drawn."""

import argparse
import os

import timm
import torch
from timm.layers import SwiGLUPacked

PATCH = 8
DINOV2 = dict(init_values=0.5)
GIANT = dict(DINOV2, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=2.5)


class Hostile:
    """A pickle of it creates a file when it is loaded as pickles are."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def evaluated(module):
    """In evaluation mode (``eval()`` of MMPretrain's backbones returns nothing)."""
    module.eval()
    return module


def drawn(module, seed=1):
    """Every weight is drawn: fresh models have zeros and ones in many places."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    module.eval()
    return module


def vit(seed=1, **changes):
    """A ViT in timm, whose names DINO, iBOT, DINOv2 and MAE share."""
    settings = dict(
        img_size=32, patch_size=PATCH, num_classes=0, embed_dim=128, depth=2, num_heads=2
    )
    return drawn(timm.models.VisionTransformer(**{**settings, 'mlp_ratio': 2, **changes}), seed)


def with_prefix(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def dino_checkpoint(teacher, student):
    """As DINO's and iBOT's training writes it."""
    head = {'head.mlp.0.weight': torch.zeros(3, 3), 'head.last_layer.weight_v': torch.zeros(3, 3)}
    students = {**with_prefix('backbone.', student.state_dict()), **head}
    # iBOT's student learns a token for masked patches.
    students['backbone.masked_embed'] = torch.zeros(1, 128)
    return dict(
        teacher={**with_prefix('backbone.', teacher.state_dict()), **head},
        student=with_prefix('module.', students),
        args=argparse.Namespace(arch='vit_small'),
        dino_loss=dict(center=torch.zeros(1, 3)),
        epoch=100,
    )
