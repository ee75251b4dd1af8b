"""Tables of parameter names, read in both directions."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What a placeholder of a template stands for.
PLACEHOLDERS = {
    'i': r'\d+',
    'j': r'\d+',
    'wb': 'weight|bias',
    'bn': 'weight|bias|running_mean|running_var|num_batches_tracked',
    'rest': '.+',
}
SHOWN = 5


class UnknownKeysError(ValueError):
    """Parameter names (``keys``) that a layout does not have."""

    def __init__(self, keys: list[str], layout: str):
        self.keys = keys
        more = f' and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''
        super().__init__(f'not keys of {layout}: {", ".join(keys[:SHOWN])}{more}')


class KeyMap:
    """Names of the same parameters in two layouts.

        ViT = KeyMap('timm', 'MMPretrain', [('blocks.{i}.norm1.{wb}', 'layers.{i}.ln1.{wb}')])
        ViT.rename({'blocks.3.norm1.bias': bias})          # {'layers.3.ln1.bias': bias}
        ViT.inverse().rename({'layers.3.ln1.bias': bias})  # {'blocks.3.norm1.bias': bias}

    Args:
        source, target: Names of the layouts, for errors.
        table: Pairs of templates with the same placeholders, the first that fits is taken:
            ``{i}``, ``{j}`` numbers, ``{wb}`` weight or bias, ``{bn}`` those and a batch norm's
            statistics, ``{rest}`` anything.
    """

    def __init__(self, source: str, target: str, table: Iterable[tuple[str, str]]):
        self.source, self.target, self.table = source, target, list(table)
        self._rules = [
            (_pattern(old), re.sub(r'\{(\w+)\}', r'\\g<\1>', new)) for old, new in self.table
        ]

    def inverse(self) -> 'KeyMap':
        """From the second layout to the first."""
        return KeyMap(self.target, self.source, [(new, old) for old, new in self.table])

    def name(self, key: str) -> str | None:
        """A key's name in the second layout, None if the first does not have it."""
        for pattern, replacement in self._rules:
            if found := pattern.fullmatch(key):
                return found.expand(replacement)
        return None

    def rename(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Rename every entry; an UnknownKeysError names keys that the first layout has not."""
        names = {key: self.name(key) for key in state}
        if unknown := [key for key, name in names.items() if name is None]:
            raise UnknownKeysError(unknown, self.source)
        return {str(names[key]): value for key, value in state.items()}


def _pattern(template: str) -> re.Pattern[str]:
    """What matches a template's keys."""
    text = re.escape(template).replace(r'\{', '{').replace(r'\}', '}')
    return re.compile(
        re.sub(r'\{(\w+)\}', lambda found: f'(?P<{found[1]}>{PLACEHOLDERS[found[1]]})', text)
    )
