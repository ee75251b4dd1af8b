"""A model folder for Hugging Face's transformers."""

import json
from pathlib import Path

from mmcroc.atomic_file import atomic_folder
from mmcroc.export.provenance import as_strings, save_tensors
from mmcroc.export.source import Source, require_settings
from mmcroc.weights.architectures import RESNET_DEPTHS, ResNetArchitecture, ViTArchitecture
from mmcroc.weights.resnet_names import resnet_to_hf
from mmcroc.weights.vit_names import dinov2_to_hf, vit_to_hf

#: Side that images are resized to for a ResNet, pixels: as is usual; any other does.
RESNET_SIZE = 224
BICUBIC = 3  # of PIL
#: depth -> blocks of the stages
STAGE_BLOCKS = {depth: blocks for (blocks, _), depth in RESNET_DEPTHS.items()}

VIT_USAGE = """\
from transformers import ViTModel
model = ViTModel.from_pretrained('{path}', add_pooling_layer=False)
output = model(images, interpolate_pos_encoding=True)  # any size
tokens = output.last_hidden_state[:, 1:]  # without [CLS]"""
DINOV2_USAGE = """\
from transformers import AutoModel
model = AutoModel.from_pretrained('{path}')
output = model(images)  # any size of whole patches
tokens = output.last_hidden_state[:, {first}:]  # without [CLS] and registers"""
RESNET_USAGE = """\
from transformers import ResNetModel
model = ResNetModel.from_pretrained('{path}')
features = model(images).last_hidden_state  # (B, C, H / 32, W / 32)"""
CARD = """\
---
library_name: transformers
pipeline_tag: image-feature-extraction
tags:
- mmcroc
- self-supervised-learning
- dense-features
---
# {name}

A backbone pretrained without labels, exported by mmcroc.

{architecture}.

```python
{usage}
```
{notes}
## Where it comes from

| | |
|---|---|
{provenance}
{results}"""
RESULTS = """
## Results, percent

Of the frozen features, under the protocols of mmcroc's `tools/evaluate.py`.

| protocol | data | metric | value |
|---|---|---|---|
{rows}
"""


def write_huggingface(source: Source, path: Path) -> list[str]:
    """Write weights, config, image processor and model card to a folder."""
    architecture = source.architecture
    sides = getattr(architecture, 'img_size', (RESNET_SIZE, RESNET_SIZE))
    if isinstance(architecture, ViTArchitecture):
        is_dinov2 = (
            architecture.layer_scale or architecture.swiglu or architecture.num_registers > 0
        )
        if is_dinov2:
            config, state = dinov2_config(architecture), dinov2_to_hf(source.state)
            first = 1 + architecture.num_registers
            usage = DINOV2_USAGE.replace('{first}', str(first))
        else:
            config, state, usage = vit_config(architecture), vit_to_hf(source.state), VIT_USAGE
    else:
        config, state, usage = resnet_config(architecture), resnet_to_hf(source.state), RESNET_USAGE
        source.note_geometry('transformers')
    processor = dict(
        image_processor_type='ViTImageProcessor',
        size=dict(height=sides[0], width=sides[1]),
        resample=BICUBIC,
        image_mean=[value / 255 for value in source.mean],
        image_std=[value / 255 for value in source.std],
    )
    metadata = source.described()
    # The card goes elsewhere with the folder: no path of this machine in it.
    card = model_card(source, path.name, usage.format(path=path.name))
    described = dict(config=dict(config, mmcroc=metadata), preprocessor_config=processor)
    with atomic_folder(path) as folder:
        save_tensors(folder / 'model.safetensors', state, metadata)
        for name, content in described.items():
            (folder / f'{name}.json').write_text(json.dumps(content, indent=2) + '\n')
        (folder / 'README.md').write_text(card, encoding='utf-8')
    return usage.format(path=path).splitlines()


def model_card(source: Source, name: str, usage: str) -> str:
    """A model card in Markdown, with the name of the model and Python that loads it."""
    metadata = dict(source.metadata)
    results = metadata.pop('protocol_results', [])
    scores = [
        f'| {result["protocol"]} | {result["data"]} | {metric} | {value:.2f} |'
        for result in results
        for metric, value in result['metrics'].items()
    ]
    return CARD.format(
        name=name,
        architecture=source.name,
        usage=usage,
        notes=''.join(f'\nNote: {note}.\n' for note in source.notes),
        provenance='\n'.join(f'| {k} | {v} |' for k, v in as_strings(metadata).items()),
        results=RESULTS.format(rows='\n'.join(scores)) if results else '',
    )


def vit_config(architecture: ViTArchitecture) -> dict:
    """``config.json`` of a ``ViTModel``; ValueError of parts that it does not have."""
    return dict(
        _transformer_config(architecture, 'ViTModel'),
        model_type='vit',
        intermediate_size=architecture.feedforward_channels,
    )


def dinov2_config(architecture: ViTArchitecture) -> dict:
    """``config.json`` of a ``Dinov2Model``, with registers or not; errors as :func:`vit_config`."""
    require_settings(architecture, "transformers' Dinov2Model", layer_scale=True)
    settings = dict(mlp_ratio=_mlp_ratio(architecture), use_swiglu_ffn=architecture.swiglu)
    name, kind = 'Dinov2Model', 'dinov2'
    if architecture.num_registers:
        name, kind = 'Dinov2WithRegistersModel', 'dinov2_with_registers'
        settings['num_register_tokens'] = architecture.num_registers
    return dict(_transformer_config(architecture, name, **settings), model_type=kind)


def _mlp_ratio(architecture: ViTArchitecture) -> int:
    """The whole number by which transformers knows the hidden width; else a ValueError."""
    dims, wanted = architecture.embed_dims, architecture.feedforward_channels
    for ratio in range(1, wanted // dims + 2):
        width = ratio * dims
        if architecture.swiglu:  # two thirds, rounded up to a multiple of 8
            width = (int(width * 2 / 3) + 7) // 8 * 8 * 3 // 2
        if width == wanted:
            return ratio
    raise ValueError(
        f"transformers' Dinov2Model has no feedforward_channels={wanted}: no multiple of {dims}"
    )


def _transformer_config(architecture: ViTArchitecture, name: str, **settings: object) -> dict:
    """Settings that transformers' models have in common, and some; ValueError of other parts."""
    require_settings(
        architecture,
        f"transformers' {name}",
        pre_norm=False,
        with_cls_token=True,
        final_norm=True,
        interpolate_mode='bicubic',
    )
    return dict(
        architectures=[name],
        hidden_size=architecture.embed_dims,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        layer_norm_eps=architecture.norm_eps,
        qkv_bias=architecture.qkv_bias,
        image_size=architecture.side,
        patch_size=architecture.patch_size,
        **settings,
    )


def resnet_config(architecture: ResNetArchitecture) -> dict:
    """``config.json`` of a ``ResNetModel``; ValueError of a stem that it does not have."""
    require_settings(architecture, "transformers' ResNetModel", variant='ResNet')
    return dict(
        architectures=['ResNetModel'],
        model_type='resnet',
        embedding_size=architecture.stem_channels,
        hidden_sizes=list(architecture.stage_channels),
        depths=list(STAGE_BLOCKS[architecture.depth]),
        layer_type='basic' if architecture.expansion == 1 else 'bottleneck',
        # Where a bottleneck strides: its 3x3 convolution, or its first 1x1.
        downsample_in_bottleneck=architecture.style == 'caffe',
    )
