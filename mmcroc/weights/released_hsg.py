"""The checkpoints that HSG's authors released: an ``embedding_model``, and losses without weights.

It holds ResNet, embedding, positions, queries and transformers, in stage 1 only the first two.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mmcroc.weights.architectures import ResNetArchitecture, count_layers
from mmcroc.weights.checkpoint_content import below
from mmcroc.weights.key_map import KeyMap

HSG = "HSG's released embedding_model"
LEVELS = dict(fine=0, coarse=1)
#: Of the released transformers; leaves no trace in their weights.
NUM_HEADS = 4
#: Rows and columns of the position tables.
NUM_POSITIONS = 50
#: Of them, how many the released trainings with transformers have touched, and the pixels that
#: these span: all of these run at 448 px and stride 16.
TRAINED_POSITIONS, TRAINED_PIXELS = 28, 448
NETWORK = KeyMap(
    HSG,
    'mmcroc.HSG',
    [
        ('resnet_backbone.conv1.conv1.weight', 'backbone.conv1.weight'),
        ('resnet_backbone.conv1.bn1.{bn}', 'backbone.bn1.{bn}'),
        *(
            (f'resnet_backbone.res{stage}.{{i}}.{name}', f'backbone.layer{stage - 1}.{{i}}.{name}')
            for stage in range(2, 6)
            for name in ('conv{j}.weight', 'bn{j}.{bn}', 'downsample.{j}.{bn}')
        ),
        ('conv_out.0.weight', 'neck.projection.0.conv.weight'),
        ('conv_out.1.{bn}', 'neck.projection.0.bn.{bn}'),
        ('conv_out.3.{wb}', 'neck.projection.1.{wb}'),
    ],
)


def _level(name: str, level: int) -> list[tuple[str, str]]:
    """Names of a level's queries and transformer."""
    released, ours = f'{name}_hrchy_transformer.', f'head.levels.{level}.'
    pairs = [
        (f'{name}_query_embed._query_embedding.weight', f'{ours}query.weight'),
        (f'{released}_transformer.decoder.norm.norm.{{bn}}', f'{ours}decoder_norm.{{bn}}'),
        (f'{released}_transformer.tgt_fc.{{i}}.{{bn}}', f'{ours}start.{{i}}.{{bn}}'),
        (f'{released}centroid_fc.{{i}}.{{bn}}', f'{ours}centroid.{{i}}.{{bn}}'),
        (f'{released}centroid_feat_fc.{{i}}.{{bn}}', f'{ours}feature.{{i}}.{{bn}}'),
    ]
    for part in ('encoder', 'decoder'):
        old, new = f'{released}_transformer.{part}.layers.{{i}}.', f'{ours}{part}.{{i}}.'
        pairs += [
            (f'{old}self_attn.{{rest}}', f'{new}self_attention.{{rest}}'),
            (f'{old}multihead_attn.{{rest}}', f'{new}cross_attention.{{rest}}'),
            (f'{old}linear{{j}}.{{wb}}', f'{new}feed_forward.linear{{j}}.{{wb}}'),
            (f'{old}norm{{j}}.norm.{{bn}}', f'{new}norm{{j}}.{{bn}}'),
        ]
    return pairs


GROUPING = KeyMap(
    'the positions, queries and transformers of HSG',
    'mmcroc.HSG',
    [
        ('pos_embed.row_embed.weight', 'neck.position.row.weight'),
        ('pos_embed.col_embed.weight', 'neck.position.column.weight'),
        *(pair for name, level in LEVELS.items() for pair in _level(name, level)),
    ],
)


def is_released_hsg(checkpoint: Mapping) -> bool:
    """Whether a checkpoint is one of HSG's authors."""
    return isinstance(checkpoint.get('embedding_model'), Mapping)


def convert_released_hsg(checkpoint: Mapping) -> dict[str, Tensor]:
    """The embedding model as the state dict of an ``mmcroc.HSG``.

    The features of the coarsest level are left out: nothing follows that would take them. Stage 1
    has no positions; they are drawn, as ours start with and stage 1 leaves them. How many position
    entries were trained is not in the file: 28, as in all released trainings with transformers. An
    UnknownKeysError names keys that HSG does not have.
    """
    released = {
        key.removeprefix('module.'): value for key, value in checkpoint['embedding_model'].items()
    }
    unused = f'head.levels.{max(LEVELS.values())}.feature.'
    renamed = KeyMap(HSG, 'mmcroc.HSG', NETWORK.table + GROUPING.table).rename(released)
    state = {key: value for key, value in renamed.items() if not key.startswith(unused)}
    trained = torch.tensor([[TRAINED_POSITIONS, TRAINED_PIXELS]] * 2)
    if not any(key.startswith('pos_embed.') for key in released) and 'conv_out.3.bias' in released:
        trained.zero_()
        generator = torch.Generator().manual_seed(0)
        shape = NUM_POSITIONS, len(released['conv_out.3.bias']) // 2
        for table in ('row', 'column'):
            state[f'neck.position.{table}.weight'] = torch.rand(shape, generator=generator)
    state['neck.position.trained'] = trained
    return state


def released_hsg_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """``model`` of a config that fits the weights that :func:`convert_released_hsg` gives.

    Settings that leave no trace are those of the authors' COCO recipe: 4 attention heads (whatever
    ``heads`` says), the strides and dilations of training, the losses. A KeyError tells of missing
    parts, a ValueError of an unknown ResNet.
    """
    backbone = replace(
        ResNetArchitecture.of_state(below('backbone.', state)),
        scope='mmseg',
        strides=(1, 2, 2, 1),
        multi_grid=(1, 4, 8),
    )
    hidden, channels = state['neck.projection.0.conv.weight'].shape[:2]
    neck = dict(
        type='mmcroc.HSGNeck',
        in_channels=channels,
        hidden_channels=hidden,
        out_channels=len(state['neck.projection.1.weight']),
        num_positions=len(state['neck.position.row.weight']),
    )
    head = dict(type='mmcroc.HSGHead', num_groups=[], grid=(1, 1), kmeans_iterations=1)
    first = 'head.levels.0.'
    if f'{first}query.weight' in state:  # else stage 1: segments are the regions
        transformer = dict(
            type='mmcroc.ClusteringTransformer',
            channels=state[f'{first}query.weight'].shape[1],
            num_heads=NUM_HEADS,
            feedforward_channels=len(state[f'{first}encoder.0.feed_forward.linear1.weight']),
            dropout=0.1,
            num_encoder_layers=count_layers(state, rf'{first}encoder\.(\d+)\.'),
            num_decoder_layers=count_layers(state, rf'{first}decoder\.(\d+)\.'),
        )
        groups = [len(state[f'head.levels.{level}.query.weight']) for level in LEVELS.values()]
        head = dict(type='mmcroc.HSGHead', num_groups=groups, transformer=transformer)
    return dict(type='mmcroc.HSG', backbone=backbone.config(), neck=neck, head=head)
