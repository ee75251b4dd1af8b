"""The config inside a checkpoint: read, never run."""

import ast
from collections.abc import Mapping
from typing import Any

NEEDED = ('model', 'default_scope', 'data_preprocessor')


def config_text(checkpoint: Mapping) -> str:
    """The text of the config in a checkpoint, as MMEngine saves it; '' if there is none."""
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    return text if isinstance(text, str) else ''


def config_of_text(text: str, parts: tuple[str, ...] = NEEDED) -> dict:
    """The parts of a config's text that make a model, or other ones.

    The text is read, not run: a checkpoint should not bring code.

    Args:
        text: Text that :func:`config_text` gives.
        parts: Variables that are wanted; by default ``model``, ``default_scope`` and
            ``data_preprocessor``.

    Returns:
        The parts, as far as they are there.

    Raises:
        SyntaxError: It is no Python.
        ValueError: One of them is no expression of literals.
    """
    return {
        target.id: _literal(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        and isinstance(target := node.targets[0], ast.Name)
        and target.id in parts
    }


def model_kind(config: dict) -> str:
    """``model.type`` with its scope, such as ``'mmcroc.HSG'``; '' if there is none."""
    kind = (config.get('model') or {}).get('type', '')
    return kind if '.' in kind or not kind else f'{_scope(config)}.{kind}'


def backbone_config(config: dict) -> dict:
    """``model.backbone`` of a config, as a feature map's backbone.

    Raises:
        ValueError: There is none.
    """
    cfg = (config.get('model') or {}).get('backbone')
    if cfg is None:
        raise ValueError('the config in the checkpoint has no model.backbone')
    kind = cfg['type'] if '.' in cfg['type'] else f'{_scope(config)}.{cfg["type"]}'
    cfg = {key: value for key, value in cfg.items() if key not in ('init_cfg', 'frozen_stages')}
    if kind == 'mmpretrain.VisionTransformer':
        cfg['out_type'] = 'featmap'
    return dict(cfg, type=kind)


def _scope(config: dict) -> str:
    return config.get('default_scope') or 'mmpretrain'


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
