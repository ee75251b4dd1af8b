"""A model folder for Hugging Face's transformers."""

import json
from pathlib import Path

from mmcroc.atomic_file import atomic_folder
from mmcroc.export.describe import require_settings
from mmcroc.export.files import save_tensors
from mmcroc.export.provenance import as_strings
from mmcroc.export.source import Source
from mmcroc.weights.architectures import RESNET_DEPTHS, ResNetArchitecture, ViTArchitecture
from mmcroc.weights.resnet_names import resnet_to_hf
from mmcroc.weights.vit_names import vit_to_hf

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
    """Write weights, config, image processor and model card to a folder.

    Raises:
        ValueError: transformers has no such architecture.
    """
    architecture = source.architecture
    sides = getattr(architecture, 'img_size', (RESNET_SIZE, RESNET_SIZE))
    if isinstance(architecture, ViTArchitecture):
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
    with atomic_folder(path) as folder:
        save_tensors(folder / 'model.safetensors', state, dict(metadata, format='pt'))
        for name, content in (
            ('config', dict(config, mmcroc=metadata)),
            ('preprocessor_config', processor),
        ):
            (folder / f'{name}.json').write_text(json.dumps(content, indent=2) + '\n')
        (folder / 'README.md').write_text(card, encoding='utf-8')
    return usage.format(path=path).splitlines()


def model_card(source: Source, name: str, usage: str) -> str:
    """A model card in Markdown.

    Args:
        source: Backbone and what is known of it.
        name: Name of the model.
        usage: Python that loads it.
    """
    metadata = dict(source.metadata)
    results = metadata.pop('protocol_results', [])
    rows = [f'| {key} | {value} |' for key, value in as_strings(metadata).items()]
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
        provenance='\n'.join(rows),
        results=RESULTS.format(rows='\n'.join(scores)) if results else '',
    )


def vit_config(architecture: ViTArchitecture) -> dict:
    """``config.json`` of a ``ViTModel``.

    Raises:
        ValueError: It has parts that ``ViTModel`` does not.
    """
    require_settings(
        architecture,
        "transformers' ViTModel",
        layer_scale=False,
        pre_norm=False,
        swiglu=False,
        num_registers=0,
        with_cls_token=True,
        final_norm=True,
        interpolate_mode='bicubic',
    )
    size = architecture.img_size
    return dict(
        architectures=['ViTModel'],
        model_type='vit',
        hidden_size=architecture.embed_dims,
        num_hidden_layers=architecture.num_layers,
        num_attention_heads=architecture.num_heads,
        intermediate_size=architecture.feedforward_channels,
        layer_norm_eps=architecture.norm_eps,
        qkv_bias=architecture.qkv_bias,
        image_size=size[0] if architecture.is_square else list(size),
        patch_size=architecture.patch_size,
    )


def resnet_config(architecture: ResNetArchitecture) -> dict:
    """``config.json`` of a ``ResNetModel``.

    Raises:
        ValueError: It has a stem that ``ResNetModel`` has not.
    """
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
