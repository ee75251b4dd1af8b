"""Whether weights fit a module whole, and if not, what would help.

MMEngine's ``load_from``, ``init_cfg`` and ``resume`` load what fits, warn of the rest and go on.
:func:`require_fit` makes a model refuse instead, whoever loads it: the check is a hook of the
model's own, which MMEngine's and torch's loaders both call before they copy anything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

from mmengine.logging import print_log
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmcroc.weights.architectures import VIT_DEFAULTS
from mmcroc.weights.checkpoint_content import NOT_FEATURES, backbone_weights, below, without_heads
from mmcroc.weights.weight_layouts import EMBEDDING_KEY, detect_layout, model_layout

SHOWN = 3
Weights = Mapping[str, Tensor]
#: What batch norms count; MMEngine does not miss it either.
COUNTER = 'num_batches_tracked'
#: Last parts of names of register tokens: Meta's of DINOv2 and DINOv3, timm's, Hugging Face's.
REGISTERS = ('register_tokens', 'storage_tokens', 'reg_token')
#: Defaults of settings that :mod:`mmcroc.weights.architectures` leaves out.
DEFAULTS = dict(VIT_DEFAULTS, layer_scale_init_value=0.0, layer_cfgs={}, position_antialias=False)


class UnfitWeightsError(ValueError):
    """Weights that do not fit a module: what does not, and what to set or to run, if known."""

    def __init__(self, problem: str, cure: str):
        super().__init__(f'{problem} {cure}'.rstrip())
        self.problem = problem


def misfit(module: nn.Module, state: Weights) -> tuple[list[str], list[str], list[str]]:
    """Names of a module's tensors that are missing, of weights without a place, of other shapes.

    Counters of batch norms may be missing.
    """
    own = module.state_dict()
    return (
        [name for name in own if name not in state and not name.endswith(COUNTER)],
        [name for name in state if name not in own],
        [name for name in own if name in state and own[name].shape != state[name].shape],
    )


def require_fit(model: nn.Module, *parts: str) -> None:
    """Let a model refuse weights that do not fit parts of it (names of submodules) whole.

    Whatever loads it raises :class:`UnfitWeightsError` from now on; a part also when weights are
    given to it alone (``init_cfg``). Position embeddings of another grid, which MMPretrain
    interpolates, fit. So do weights of a part that its features do not depend on
    (``NOT_FEATURES``). What differs in other parts (heads) is named in the log.
    """
    for part in parts:
        # Registered last: the part's own hooks have interpolated positions before.
        model.get_submodule(part)._register_load_state_dict_pre_hook(_check_part, with_module=True)
    model._register_load_state_dict_pre_hook(partial(_check_model, parts), with_module=True)


def _check_part(module: nn.Module, state: Weights, prefix: str, *_: object) -> None:
    """A hook: raise unless all tensors of the part are given, and no others."""
    given = below(prefix, state)
    missing, unexpected, mismatched = misfit(module, given)
    unexpected = [name for name in unexpected if not name.startswith(NOT_FEATURES)]
    if not (missing or unexpected or mismatched):
        return
    own = module.state_dict()
    shapes = [
        f'{name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}' for name in mismatched
    ]
    found = [
        f'{len(names)} {what} ({", ".join(names[:shown])}{", ..." if len(names) > shown else ""})'
        for names, what, shown in (
            (missing, f'of its {len(own)} tensors missing', SHOWN),
            (shapes, 'of another shape', 1),
            (unexpected, 'without a place in it', SHOWN),
        )
        if names
    ]
    place = type(module).__name__ + (f' ({prefix[:-1]})' if prefix else '')
    raise UnfitWeightsError(
        f'these weights do not fit the {place}: {"; ".join(found)}.', _cure(module, given, '')
    )


def _check_model(
    parts: tuple[str, ...], model: nn.Module, state: Weights, prefix: str, *_: object
) -> None:
    """A hook: raise unless something is given for every part; name what differs elsewhere."""
    given, kind = below(prefix, state), type(model).__name__
    for part in parts:
        if not below(f'{part}.', given):
            raise UnfitWeightsError(
                f'these weights hold nothing of {kind}.{part}, but {", ".join([*given][:SHOWN])}.',
                _cure(model.get_submodule(part), given, part),
            )
    inside = tuple(f'{part}.' for part in parts)
    missing, unexpected, mismatched = (
        _summary(name for name in names if not name.startswith(inside))
        for names in misfit(model, given)
    )
    for what, names in {
        'not among these weights, left as initialised': missing,
        'of another shape in these weights, left as initialised': mismatched,
        'left out of these weights': unexpected,
    }.items():
        if names:
            print_log(f'{kind}: {what}: {names}', logger='current')


def _cure(module: nn.Module, state: Weights, part: str) -> str:
    """What would make weights fit a module, as a sentence; '' if that is not known.

    ``part`` is the module's name if the weights were given to its whole model (``load_from``).
    """
    registers = [name for name in state if name.rpartition('.')[2] in REGISTERS]
    if registers and not hasattr(module, 'register_tokens'):
        return (
            f"MMPretrain's VisionTransformer cannot hold register tokens ({registers[0]}): take "
            'mmcroc.VisionTransformer, or weights without them'
        )
    prefixes = _prefixes_of(module, state)
    if not prefixes:
        layout = _layout_of(state)
        return layout and (
            f'They are {layout}: convert the file, tools/model_converters/to_mmpretrain.py FILE '
            "OUT.pth, and take load_from='OUT.pth', or init_cfg=dict(type='Pretrained', "
            "checkpoint='OUT.pth', prefix='backbone.')"
        )
    settings = _settings_for(module, below(prefixes[0], state))
    prefix = ' or '.join(f'prefix={prefix!r}' for prefix in prefixes if prefix)
    cures = []
    if part:
        init_cfg = f"dict(type='Pretrained', checkpoint=FILE{prefix and ', '}{prefix})"
        cures.append(f'instead of load_from, take model.{part}.init_cfg={init_cfg}')
    elif prefix:
        cures.append(f'give init_cfg {prefix}')
    if settings:
        cures.append(f'give the backbone {settings}')
    return f'To use them, {"; and ".join(cures)}' if cures else ''


def _prefixes_of(module: nn.Module, state: Weights) -> list[str]:
    """What stands before the module's names in ``state``, teachers first; [] if they are others."""
    own, found = module.state_dict(), Counter[str]()
    for name in state:
        words = name.split('.')
        # The longest: VisionTransformer has both ln1.weight and layers.0.ln1.weight.
        ends = ('.'.join(words[i:]) for i in range(len(words)))
        if end := next((end for end in ends if end in own), ''):
            found[name.removesuffix(end)] += 1
    prefixes = [prefix for prefix, count in found.items() if count == max(found.values())]
    inside = below(prefixes[0], state) if prefixes else {}
    if not prefixes or (_architecture(inside) is None and misfit(module, inside)[0]):
        return []
    return sorted(prefixes, key=lambda prefix: 'teacher' not in prefix)


def _architecture(state: Weights) -> dict | None:
    """A backbone's config as its shapes tell it, None unless its names are MMPretrain's."""
    state = without_heads(state)
    try:
        config, converted = detect_layout(state).build(state, heads=1)  # they leave no trace
    except (ValueError, TypeError):
        return None
    return config if converted.keys() == state.keys() else None


def _settings_for(module: nn.Module, state: Weights) -> str:
    """The settings of a backbone's config in which weights and module differ, as text."""
    here, there = _architecture(module.state_dict()), _architecture(state)
    if here is None or there is None:
        return ''
    settings = {}
    for name in dict.fromkeys([*here, *there]):
        value = there.get(name, DEFAULTS.get(name))
        if name != 'img_size' and here.get(name, DEFAULTS.get(name)) != value:
            settings[name] = value
    if arch := settings.get('arch'):
        del arch['num_heads']  # unknown
        zoo = VisionTransformer.arch_zoo.items()
        names = [name for name, known in zoo if arch.items() <= known.items()]
        settings['arch'] = max(names, key=len, default=arch)
    if 'type' in settings:
        settings['type'] = settings['type'].rpartition('.')[2]
    return ', '.join(f'{name}={value!r}' for name, value in settings.items())


def _layout_of(state: Weights) -> str:
    """What a file with other names holds, in words; '' if that is not known."""
    if (released := model_layout(state)) and EMBEDDING_KEY not in state:
        return f'a {released.name}'
    try:
        weights = without_heads(backbone_weights(state).state)
        layout = detect_layout(weights)
        return '' if layout.convert(weights).keys() == weights.keys() else f'a {layout.name}'
    except (ValueError, KeyError):
        return ''


def _summary(names: Iterable[str]) -> str:
    """Names by their first two parts, how many there are of each."""
    groups = Counter('.'.join(name.split('.')[:2]) for name in names)
    return ', '.join(f'{name} ({count})' for name, count in groups.items())
