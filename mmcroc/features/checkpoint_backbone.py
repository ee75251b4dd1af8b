"""The backbone that a checkpoint holds, whatever wrote it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from mmcroc.foreign_configs import registered_types_only
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import (
    backbone_config,
    backbone_weights,
    model_kind,
    without_heads,
)
from mmcroc.weights.weight_layouts import detect_layout, model_layout


class FoundBackbone(NamedTuple):
    """Config and weights of a backbone in a checkpoint.

    Attributes:
        layout: Naming of the weights in the file, in words.
        role: Network they are of: ``'teacher'``, ``'student'``, ``'backbone'``, ``'whole model'``.
        origin: Config of the checkpoint, that of a converted model included; ``{}`` if none.
    """

    config: dict
    state: dict[str, Tensor]
    layout: str
    role: str
    origin: dict

    def build(self, path: str) -> nn.Module:
        """The module with these weights; a ValueError names the file if they do not fit."""
        backbone = build_foreign(self.config, path)
        load_all(backbone, self.state, path)
        return backbone


def find_backbone(
    checkpoint: Mapping, config: dict, part: str = '', heads: int | None = None
) -> FoundBackbone:
    """The backbone of a checkpoint that is read already; a ValueError says why there is none.

    The architecture comes from the config; without one, from the names and shapes of the weights
    (:data:`mmcroc.weights.weight_layouts.LAYOUTS`). A model class may say itself how it is used
    frozen, by a class method ``frozen(checkpoint, config)`` that gives config and weights of the
    whole model; its backbone is the one in that config.

    Args:
        checkpoint: Content of the file.
        config: Config of the checkpoint; ``{}`` if it has none.
        part: ``'student'`` or ``'teacher'`` of self-distillation, by default the teacher;
            ``'backbone'`` for the backbone of a model that is used whole.
        heads: Attention heads of a ViT without a config, where they are known.
    """
    layout = (checkpoint.get('meta') or {}).get('layout', '') if config else ''
    if not config and (released := model_layout(checkpoint)):
        layout, (model, state) = released.name, released.build(checkpoint, heads)
        checkpoint, config = dict(state_dict=state), dict(model=model)
    if not config:
        state, role = backbone_weights(checkpoint, part)
        state = without_heads(state)
        found = detect_layout(state)
        return FoundBackbone(*found.build(state, heads), found.name, role, {})
    kind = model_kind(config)
    layout = layout or f'checkpoint of {kind or "MMEngine"}'
    if frozen := frozen_model(config):
        model, state = frozen(checkpoint, config)
        if not part:
            return FoundBackbone(model, state, layout, 'whole model', config)
        if part != 'backbone':
            raise ValueError(f'{kind.rpartition(".")[2]} has no {part}')
        config = dict(config, model=model)
    state, role = backbone_weights(checkpoint, part)
    return FoundBackbone(backbone_config(config), state, layout, role, config)


def frozen_model(config: dict) -> Callable[[Mapping, dict], tuple[dict, dict]] | None:
    """The class method ``frozen`` (:func:`find_backbone`) of a config's model; None if none."""
    kind = model_kind(config)
    if not kind:
        return None
    with registered_types_only():
        try:
            return getattr(MODELS.get(kind), 'frozen', None)
        except KeyError as error:
            raise ValueError(f'model.type={kind!r} in its config is no model') from error


def build_foreign(config: dict, path: str) -> nn.Module:
    """The module of a config that a file brought; a ValueError names the file if it is none.

    What else than registered classes and modules the config names is not imported, nor called.
    """
    try:
        with registered_types_only():
            return MODELS.build(config)
    except (ImportError, OSError):
        raise
    except Exception as error:  # constructors raise nearly every type there is
        raise ValueError(f'{path}: the model of its config cannot be built: {error}') from error


def load_all(module: nn.Module, state: dict[str, Tensor], path: str) -> None:
    """Load weights, none left over and none missing; a ValueError says what does not fit."""
    foreign = f'{path} holds another architecture than this {type(module).__name__}'
    # Torch overlooks what belongs to parts that a module goes without.
    absent = tuple(
        f'{name}.{part}.'.lstrip('.')
        for name, parent in module.named_modules()
        for part, child in parent._modules.items()
        if child is None
    )
    overlooked = [key for key in state if key.startswith(absent)]
    if overlooked:
        raise ValueError(f'{foreign}: unexpected {", ".join(overlooked[:5])}')
    try:
        module.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f'{foreign}: {error}') from error
