"""Weights for timm."""

from pathlib import Path
from typing import Any

import timm
import torch

from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import save_tensors
from mmcroc.export.source import Source, require_settings
from mmcroc.weights.architectures import ResNetArchitecture, ViTArchitecture
from mmcroc.weights.key_map import KeyMap
from mmcroc.weights.resnet_names import resnet_to_timm
from mmcroc.weights.vit_names import vit_to_timm

#: (embed_dims, num_layers, num_heads) of timm's names.
VIT_SIZES = {
    (192, 12, 3): 'tiny',
    (384, 12, 6): 'small',
    (768, 12, 12): 'base',
    (1024, 24, 16): 'large',
    (1280, 32, 16): 'huge',
}
RESNET_NAMES = dict(ResNet='resnet{}', ResNetV1c='resnet{}c', ResNetV1d='resnet{}d')
#: (strides, dilations) that timm calls by one number.
OUTPUT_STRIDES: dict[tuple[tuple[int, ...], ...], int] = {
    ((1, 2, 1, 1), (1, 1, 2, 4)): 8,
    ((1, 2, 2, 1), (1, 1, 1, 2)): 16,
}
#: MMSegmentation's deep stem is timm's with other names; its shortcuts are timm's.
MMSEG_DEEP_STEM = KeyMap(
    'mmseg.ResNetV1c',
    "timm's ResNet",
    [
        ('stem.7.{bn}', 'bn1.{bn}'),
        ('stem.{i}.{bn}', 'conv1.{i}.{bn}'),
        ('layer{i}.{rest}', 'layer{i}.{rest}'),
    ],
)


def write_timm(source: Source, path: Path) -> list[str]:
    """Write weights under timm's names; timm's model is built and must take them all."""
    architecture = source.architecture
    prefix = ''
    settings: dict[str, Any]
    if isinstance(architecture, ViTArchitecture):
        name, settings = timm_vit(architecture)
        state = vit_to_timm(source.state)
        prefix = '[:, model.num_prefix_tokens:]  # without [CLS]'
        if not architecture.num_registers:
            height, width = architecture.img_size
            source.notes.append(
                'timm resizes position embeddings in its own way (antialiased): at other sizes '
                f"than {height}x{width} px its tokens differ a little from MMPretrain's"
            )
    else:
        name, settings = timm_resnet(architecture)
        deep = architecture.scope == 'mmseg' and architecture.variant != 'ResNet'
        state = (MMSEG_DEEP_STEM.rename if deep else resnet_to_timm)(source.state)
        if 'output_stride' not in settings:
            source.note_geometry('timm')
    try:
        model = timm.create_model(name, num_classes=0, **settings)
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"timm's {name} with {settings} does not take {architecture.name}: {error}"
        ) from error
    arguments = ''.join(f', {key}={value!r}' for key, value in settings.items())
    if path.suffix == '.safetensors':
        metadata = dict(source.described(), timm_model=name, timm_arguments=settings)
        save_tensors(path, state, metadata)
    else:
        # timm wants nothing but weights in a file: metadata has no place there.
        source.notes.append('a .pth file for timm carries no metadata; .safetensors does')
        with atomic_file(path) as file:
            torch.save({key: value.cpu() for key, value in state.items()}, file)
    return [
        'import timm',
        f"model = timm.create_model('{name}', num_classes=0{arguments},",
        f"                          checkpoint_path='{path}').eval()",
        f'features = model.forward_features(images){prefix}',
    ]


def timm_vit(architecture: ViTArchitecture) -> tuple[str, dict[str, Any]]:
    """timm's name of a Vision Transformer, and what to change in it."""
    require_settings(
        architecture,
        "timm's VisionTransformer",
        norm_eps=1e-6,
        with_cls_token=True,
        final_norm=True,
        interpolate_mode='bicubic',
        swiglu=False,
    )
    size = architecture.embed_dims, architecture.num_layers, architecture.num_heads
    name = f'vit_{VIT_SIZES.get(size, "")}_patch{architecture.patch_size}_224'
    settings: dict[str, Any] = dict(dynamic_img_size=True)  # takes any size
    if architecture.img_size != (224, 224):
        settings['img_size'] = architecture.side
    if not timm.is_model(name):
        name = 'vit_small_patch16_224'
        settings['patch_size'] = architecture.patch_size
        settings.update(zip(('embed_dim', 'depth', 'num_heads'), size, strict=True))
    found = dict(
        mlp_ratio=architecture.feedforward_channels / architecture.embed_dims,
        qkv_bias=architecture.qkv_bias,
        pre_norm=architecture.pre_norm,
        init_values=1e-5 if architecture.layer_scale else None,
    )
    usual = dict(mlp_ratio=4, qkv_bias=True, pre_norm=False, init_values=None)
    settings.update({name: value for name, value in found.items() if value != usual[name]})
    if architecture.num_registers:
        settings.update(reg_tokens=architecture.num_registers, no_embed_class=True)
    return name, settings


def timm_resnet(architecture: ResNetArchitecture) -> tuple[str, dict[str, Any]]:
    """timm's name of a ResNet, and what to change in it."""
    if architecture.style != 'pytorch' and architecture.expansion > 1:
        raise ValueError("timm's ResNets stride in the 3x3 convolution, this one in the 1x1")
    if architecture.stem_channels != 64:
        raise ValueError(
            f"timm's ResNets have 64 stem channels, this one {architecture.stem_channels}"
        )
    name = RESNET_NAMES[architecture.variant].format(architecture.depth)
    settings: dict[str, Any] = {}
    if architecture.variant == 'ResNetV1c' and architecture.depth < 50:  # timm has no such name
        name = f'resnet{architecture.depth}'
        settings.update(stem_type='deep', stem_width=32)
    base = architecture.base_channels
    if base != 64:
        settings['channels'] = tuple(base * 2**stage for stage in range(4))
    dilated = OUTPUT_STRIDES.get((architecture.strides, architecture.dilations))
    if dilated and architecture.contract_dilation and architecture.multi_grid is None:
        settings['output_stride'] = dilated
    return name, settings
