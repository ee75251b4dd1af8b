"""Weights for timm."""

from pathlib import Path

import torch

from mmcroc.atomic_file import atomic_file
from mmcroc.export.architecture import ResNetArchitecture, ViTArchitecture
from mmcroc.export.safetensors_file import save_tensors
from mmcroc.export.source import Source
from mmcroc.optional import require
from mmcroc.weights.key_map import KeyMap
from mmcroc.weights.resnet_timm import resnet_to_timm
from mmcroc.weights.vit_timm import vit_to_timm

#: (embed_dims, num_layers, num_heads) of timm's names.
VIT_SIZES = {
    (192, 12, 3): 'tiny',
    (384, 12, 6): 'small',
    (768, 12, 12): 'base',
    (1024, 24, 16): 'large',
    (1280, 32, 16): 'huge',
}
#: timm's arguments and our names of them.
VIT_ARGUMENTS = dict(embed_dim='embed_dims', depth='num_layers', num_heads='num_heads')
RESNET_NAMES = dict(ResNet='resnet{}', ResNetV1c='resnet{}c', ResNetV1d='resnet{}d')
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
    """Write weights under timm's names; timm's model is built and must take them all.

    Args:
        source: What is exported.
        path: The file, ``.safetensors`` or ``.pth``.

    Returns:
        Lines of Python that load it.

    Raises:
        ValueError: timm has no such architecture.
    """
    timm = import_timm()
    architecture = source.architecture
    if isinstance(architecture, ViTArchitecture):
        name, settings = timm_vit(architecture)
        state = vit_to_timm(source.state)
        source.notes.append(
            'timm resizes position embeddings in its own way (antialiased): at other sizes than '
            f'{architecture.img_size[0]}x{architecture.img_size[1]} px its tokens differ a little '
            "from MMPretrain's"
        )
    else:
        name, settings = timm_resnet(architecture)
        deep = architecture.scope == 'mmseg' and architecture.variant != 'ResNet'
        state = (MMSEG_DEEP_STEM.rename if deep else resnet_to_timm)(source.state)
    try:
        model = timm.create_model(name, num_classes=0, **settings)
        model.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"timm's {name} with {settings} does not take {architecture.name}: {error}"
        ) from error
    if isinstance(architecture, ResNetArchitecture) and 'output_stride' not in settings:
        source.note_geometry('timm')
    arguments = ''.join(f', {key}={value!r}' for key, value in settings.items())
    metadata = dict(source.described(), format='pt', timm_model=name, timm_arguments=settings)
    if path.suffix == '.safetensors':
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
        'features = model.forward_features(images)'
        + ('[:, 1:]  # without [CLS]' if isinstance(architecture, ViTArchitecture) else ''),
    ]


def import_timm():
    """The timm package.

    Raises:
        ImportError: It is not installed.
    """
    return require('timm', '--format timm', 'timm')


def timm_vit(architecture: ViTArchitecture) -> tuple[str, dict]:
    """timm's name of a Vision Transformer, and what to change in it.

    Raises:
        ValueError: timm has none like it.
    """
    odd = [
        name
        for name, usual in dict(
            norm_eps=1e-6, with_cls_token=True, final_norm=True, interpolate_mode='bicubic'
        ).items()
        if getattr(architecture, name) != usual
    ]
    if odd:
        raise ValueError(
            "timm's VisionTransformer has no "
            + ', '.join(f'{name}={getattr(architecture, name)!r}' for name in odd)
        )
    size = tuple(getattr(architecture, name) for name in VIT_ARGUMENTS.values())
    timm = import_timm()
    name = f'vit_{VIT_SIZES.get(size, "")}_patch{architecture.patch_size}_224'
    height, width = architecture.img_size
    settings = dict(dynamic_img_size=True)  # takes any size
    if architecture.img_size != (224, 224):
        settings['img_size'] = height if height == width else (height, width)
    if not timm.is_model(name):
        name = 'vit_small_patch16_224'
        settings['patch_size'] = architecture.patch_size
        settings.update(zip(VIT_ARGUMENTS, size, strict=True))
    ratio = architecture.feedforward_channels / architecture.embed_dims
    if ratio != 4:
        settings['mlp_ratio'] = ratio
    if not architecture.qkv_bias:
        settings['qkv_bias'] = False
    if architecture.pre_norm:
        settings['pre_norm'] = True
    if architecture.layer_scale:
        settings['init_values'] = 1e-5
    return name, settings


def timm_resnet(architecture: ResNetArchitecture) -> tuple[str, dict]:
    """timm's name of a ResNet, and what to change in it.

    Raises:
        ValueError: timm has none like it.
    """
    if architecture.style != 'pytorch' and architecture.expansion > 1:
        raise ValueError("timm's ResNets stride in the 3x3 convolution, this one in the 1x1")
    if architecture.stem_channels != 64:
        raise ValueError(
            f"timm's ResNets have 64 stem channels, this one {architecture.stem_channels}"
        )
    name = RESNET_NAMES[architecture.variant].format(architecture.depth)
    settings = {}
    if not import_timm().is_model(name):  # ResNetV1c-18 and 34
        name = f'resnet{architecture.depth}'
        settings.update(stem_type='deep', stem_width=32)
    base = architecture.base_channels
    if base != 64:
        settings['channels'] = tuple(base * 2**stage for stage in range(4))
    output_stride = _as_output_stride(architecture)
    if output_stride != 32:
        settings['output_stride'] = output_stride
    return name, settings


def _as_output_stride(architecture):
    """timm's one number for strides and dilations; 32 where it cannot say them."""
    dilated = {
        8: ((1, 2, 1, 1), (1, 1, 2, 4)),
        16: ((1, 2, 2, 1), (1, 1, 1, 2)),
    }
    own = (architecture.strides, architecture.dilations)
    contracts = architecture.contract_dilation and architecture.multi_grid is None
    return next((n for n, plain in dilated.items() if contracts and own == plain), 32)
