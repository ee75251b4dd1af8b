"""What a checkpoint holds: a config, read and never run, and the weights of networks."""

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Variables of a config that make a model.
NEEDED = ('model', 'default_scope', 'data_preprocessor')
#: Where programs put a state dict: exponential moving averages first, as timm does.
CONTAINERS = ('state_dict_ema', 'model_ema', 'state_dict', 'model', 'module')
#: What wrappers put before every key.
WRAPPERS = ('module.', '_orig_mod.')
#: Where a backbone's weights are among those of other modules.
TEACHER, BACKBONE = 'teacher.backbone.', 'backbone.'
#: Weights in a backbone's state dict that are none of its features': classifiers and projections,
#: mask tokens (DINOv2; iBOT), MAE's decoder.
NOT_FEATURES = ('head.', 'fc.', 'mask_token', 'masked_embed', 'decoder_')


def config_text(checkpoint: Mapping) -> str:
    """The text of the config in a checkpoint, as MMEngine saves it; '' if there is none."""
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    return text if isinstance(text, str) else ''


def config_of_text(text: str, parts: tuple[str, ...] = NEEDED) -> dict:
    """Variables in a config's text, as far as they are there; code in it is not run.

    SyntaxError, ValueError: the text is no Python, or a part no expression of literals.
    """
    try:
        return {
            target.id: _literal(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign)
            and isinstance(target := node.targets[0], ast.Name)
            and target.id in parts
        }
    except (MemoryError, RecursionError, TypeError) as error:  # of nesting; of a list as a key
        raise ValueError(f'its config cannot be read: {error}') from error


def check_config(config: Mapping) -> None:
    """Refuse a config, of a file, that is no model's; or whose model would fetch code to run.

    Raises:
        ValueError: It names the field.
    """
    model = config.get('model')
    fields = {'model': model, 'data_preprocessor': config.get('data_preprocessor')}
    if isinstance(model, dict):
        fields |= {f'model.{part}': model.get(part) for part in ('backbone', 'data_preprocessor')}
    for field, cfg in fields.items():
        if cfg is not None and not (isinstance(cfg, dict) and isinstance(cfg.get('type', ''), str)):
            raise ValueError(f'{field} in its config is no dict with a type')
    if not isinstance(config.get('default_scope'), str | None):
        raise ValueError('default_scope in its config is no name')
    todo: list[Any] = [config]
    while todo:
        cfg = todo.pop()
        if isinstance(cfg, dict):
            if 'trust_remote_code' in cfg:
                raise ValueError('trust_remote_code in its config: code of others is not run')
            todo += cfg.values()
        elif isinstance(cfg, list | tuple):
            todo += cfg


def model_kind(config: dict) -> str:
    """``model.type`` with its scope, such as ``'mmcroc.HSG'``; '' if there is none."""
    kind = (config.get('model') or {}).get('type', '')
    return kind and _scoped(kind, config)


def backbone_config(config: dict) -> dict:
    """``model.backbone`` of a config, as a feature map's backbone; a ValueError if none."""
    cfg = (config.get('model') or {}).get('backbone')
    if cfg is None:
        raise ValueError('the config in the checkpoint has no model.backbone')
    cfg = {key: value for key, value in cfg.items() if key not in ('init_cfg', 'frozen_stages')}
    if 'type' not in cfg:
        raise ValueError('model.backbone of the config in the checkpoint has no type')
    cfg['type'] = _scoped(cfg['type'], config)
    if cfg['type'] == 'mmpretrain.VisionTransformer':
        cfg['out_type'] = 'featmap'
    return cfg


def _scoped(kind: str, config: dict) -> str:
    return kind if '.' in kind else f'{config.get("default_scope") or "mmpretrain"}.{kind}'


def _literal(node: ast.expr | None) -> Any:
    """The value of an expression of literals and calls of ``dict`` with keywords."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key): _literal(value) for key, value in pairs}
    return ast.literal_eval(node)  # type: ignore[arg-type]  # None, of {**x}, is malformed too


class Network(NamedTuple):
    """State dict of a network, and its role: teacher, student, or backbone of the only one."""

    state: dict[str, Tensor]
    role: str


def backbone_weights(checkpoint: Mapping, part: str = '') -> Network:
    """The weights of a backbone in a checkpoint; modules beside it are left behind.

    Args:
        checkpoint: Content of the file: networks under ``teacher`` and ``student`` (DINO, iBOT,
            DINOv2, CrOC), one state dict under any of ``CONTAINERS``, or a bare state dict.
        part: ``'student'`` or ``'teacher'`` where there are both; default: the teacher, it is what
            one evaluates.

    Raises:
        ValueError: There is no such network.
    """
    wanted = '' if part == 'backbone' else part
    networks = {
        name: checkpoint[name]
        for name in ('teacher', 'student')
        if isinstance(checkpoint.get(name), Mapping)
    }
    if networks:
        name = wanted or next(iter(networks))
        if name not in networks:
            raise ValueError(f'it holds no {name}, only a {next(iter(networks))}')
        state = _unwrapped(networks[name])
        return Network(below(BACKBONE, state) or state, name)
    container = next((c for c in CONTAINERS if isinstance(checkpoint.get(c), Mapping)), None)
    state = _unwrapped(checkpoint[container] if container else checkpoint)
    if not state:
        raise ValueError(f'it holds no weights, only {", ".join(map(str, checkpoint))[:200]!r}')
    teacher = below(TEACHER, state)
    if teacher and wanted != 'student':
        return Network(teacher, 'teacher')
    if wanted and not teacher:
        raise ValueError(f'it holds one network, no {wanted}')
    return Network(below(BACKBONE, state) or state, wanted or 'backbone')


def without_heads(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that a backbone's features depend on: all but ``NOT_FEATURES``."""
    return {key: value for key, value in state.items() if not key.startswith(NOT_FEATURES)}


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose names begin with a prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _unwrapped(state: Mapping) -> dict[str, Tensor]:
    """Tensors of a state dict, those with names, without the prefixes of wrappers."""
    state = {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and torch.is_tensor(value)
    }
    for prefix in WRAPPERS:
        if all(key.startswith(prefix) for key in state):
            state = below(prefix, state)
    return state
