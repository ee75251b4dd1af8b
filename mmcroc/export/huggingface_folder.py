"""A model folder for Hugging Face's transformers."""

import json
from pathlib import Path

from mmcroc.export.architecture import Architecture, ResNetArchitecture, ViTArchitecture
from mmcroc.export.model_card import model_card
from mmcroc.export.safetensors_file import save_tensors
from mmcroc.export.source import Source
from mmcroc.export.target import atomic_folder
from mmcroc.weights.architectures import RESNET_DEPTHS
from mmcroc.weights.resnet_hf import resnet_to_hf
from mmcroc.weights.vit_hf import vit_to_hf

#: Side that images are resized to for a ResNet, pixels: as is usual; any other does.
RESNET_SIZE = 224
BICUBIC = 3  # of PIL
#: depth -> blocks of the stages
STAGE_BLOCKS = {depth: blocks for (blocks, _), depth in RESNET_DEPTHS.items()}


def write_huggingface(source: Source, path: Path) -> list[str]:
    """Write weights, config, image processor and model card.

    Args:
        source: What is exported.
        path: The folder.

    Returns:
        Lines of Python that load it.

    Raises:
        ValueError: transformers has no such architecture.
    """
    architecture = source.architecture
    if isinstance(architecture, ViTArchitecture):
        config, state, sides = (
            vit_config(architecture),
            vit_to_hf(source.state),
            architecture.img_size,
        )
        usage = _vit_usage
    else:
        config, state = resnet_config(architecture), resnet_to_hf(source.state)
        sides = (RESNET_SIZE, RESNET_SIZE)
        usage = _resnet_usage
        source.note_geometry('transformers')
    metadata = source.described()
    # The card goes elsewhere with the folder: no path of this machine in it.
    card = model_card(source, path.name, usage(path.name))
    with atomic_folder(path) as folder:
        save_tensors(folder / 'model.safetensors', state, dict(metadata, format='pt'))
        _write_json(folder / 'config.json', dict(config, mmcroc=metadata))
        _write_json(folder / 'preprocessor_config.json', _processor(source, sides))
        (folder / 'README.md').write_text(card, encoding='utf-8')
    return usage(path)


def vit_config(architecture: ViTArchitecture) -> dict:
    """``config.json`` of a ``ViTModel``.

    Raises:
        ValueError: It has parts that ``ViTModel`` does not.
    """
    _refuse(
        architecture,
        "transformers' ViTModel",
        layer_scale=False,
        pre_norm=False,
        with_cls_token=True,
        final_norm=True,
        interpolate_mode='bicubic',
    )
    height, width = architecture.img_size
    return dict(
        architectures=['ViTModel'],
        model_type='vit',
        hidden_size=architecture.embed_dims,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        intermediate_size=architecture.feedforward_channels,
        hidden_act='gelu',
        layer_norm_eps=architecture.norm_eps,
        qkv_bias=architecture.qkv_bias,
        image_size=height if architecture.is_square else [height, width],
        patch_size=architecture.patch_size,
        encoder_stride=architecture.patch_size,
        num_channels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        torch_dtype='float32',
    )


def resnet_config(architecture: ResNetArchitecture) -> dict:
    """``config.json`` of a ``ResNetModel``.

    Raises:
        ValueError: It has a stem that ``ResNetModel`` has not.
    """
    _refuse(architecture, "transformers' ResNetModel", variant='ResNet')
    return dict(
        architectures=['ResNetModel'],
        model_type='resnet',
        embedding_size=architecture.stem_channels,
        hidden_sizes=list(architecture.stage_channels),
        depths=list(STAGE_BLOCKS[architecture.depth]),
        layer_type='basic' if architecture.expansion == 1 else 'bottleneck',
        hidden_act='relu',
        downsample_in_first_stage=False,
        # Where a bottleneck strides: its 3x3 convolution, or its first 1x1.
        downsample_in_bottleneck=architecture.style == 'caffe',
        num_channels=3,
        torch_dtype='float32',
    )


def _refuse(architecture: Architecture, theirs: str, **usual):
    odd = {name: getattr(architecture, name) for name in usual}
    odd = [f'{name}={value!r}' for name, value in odd.items() if value != usual[name]]
    if odd:
        raise ValueError(f'{theirs} has no {", ".join(odd)}')


def _processor(source, sides):
    return dict(
        image_processor_type='ViTImageProcessor',
        do_resize=True,
        size=dict(height=sides[0], width=sides[1]),
        resample=BICUBIC,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[value / 255 for value in source.mean],
        image_std=[value / 255 for value in source.std],
    )


def _vit_usage(path):
    return [
        'from transformers import ViTModel',
        f"model = ViTModel.from_pretrained('{path}', add_pooling_layer=False)",
        'output = model(images, interpolate_pos_encoding=True)  # any size',
        'tokens = output.last_hidden_state[:, 1:]  # without [CLS]',
    ]


def _resnet_usage(path):
    return [
        'from transformers import ResNetModel',
        f"model = ResNetModel.from_pretrained('{path}')",
        'features = model(images).last_hidden_state  # (B, C, H / 32, W / 32)',
    ]


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
