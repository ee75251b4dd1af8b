"""Checkpoints for MMPretrain and MMSegmentation."""

from pathlib import Path

import torch
from mmengine.config import Config

from mmcroc.atomic_file import atomic_file
from mmcroc.export.architecture import ResNetArchitecture
from mmcroc.export.mmseg_config import write_mmseg_config
from mmcroc.export.provenance import KEY
from mmcroc.export.source import Source

PREFIX = 'backbone.'


def write_mmpretrain(source: Source, path: Path) -> list[str]:
    """Write a checkpoint with ``backbone.*`` weights and a config of the backbone.

    Serves MMPretrain and MMSegmentation, :func:`mmcroc.features.load_backbone` and tools/evaluate.py.

    Args:
        source: What is exported.
        path: The file, ``.pth``.

    Returns:
        Lines of a config that load it.
    """
    _write_checkpoint(source, path)
    architecture = source.architecture
    if isinstance(architecture, ResNetArchitecture) and architecture.multi_grid:
        source.notes.append(
            "mmpretrain.ResNet has no multi_grid: the config inside names MMSegmentation's ResNet "
            f'({architecture.geometry}), which MMPretrain builds too'
        )
    return _as_backbone(architecture.config(), path)


def write_mmseg(source: Source, path: Path) -> list[str]:
    """Write the same checkpoint, and beside it a config of a segmentor to inherit.

    Args:
        source: What is exported.
        path: The file, ``.pth``; the config gets its name with ``.py``.

    Returns:
        Lines of a config that load it.
    """
    _write_checkpoint(source, path)
    config = path.with_suffix('.py')
    write_mmseg_config(source, path, config)
    source.notes.append(
        'the checkpoint is what --format mmpretrain writes (MMSegmentation takes it as it is); '
        f'new is the config, {config}'
    )
    return [
        # MMEngine looks relative ones up beside the config that names them.
        f"_base_ = ['{config.absolute()}',",
        "          'mmseg::_base_/datasets/...', 'mmseg::_base_/schedules/...', ...]",
        'model = dict(decode_head=dict(num_classes=...))',
    ]


def _write_checkpoint(source, path):
    state = {PREFIX + key: value.cpu() for key, value in source.state.items()}
    cfg = dict(
        model=dict(type='ImageClassifier', backbone=source.architecture.config()),
        data_preprocessor=dict(mean=list(source.mean), std=list(source.std), to_rgb=True),
        default_scope='mmpretrain',
    )
    meta = {'cfg': Config(cfg).pretty_text, KEY: source.described()}
    with atomic_file(path) as file:
        torch.save(dict(meta=meta, state_dict=state), file)


def _as_backbone(cfg, path):
    arguments = [f'{key}={value!r},' for key, value in cfg.items()]
    init_cfg = f"dict(type='Pretrained', checkpoint='{path}', prefix='{PREFIX}')"
    lines = [*arguments, f'init_cfg={init_cfg},']
    return ['model = dict(backbone=dict(', *(f'    {line}' for line in lines), '))']
