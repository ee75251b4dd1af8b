"""Wings of mmcroc and what they import, computed from the source.

``python -m tests.support.wings`` prints the table of docs/how-it-is-built.md.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

#: Wings from the top to the ground; those of one floor do not import each other.
FLOORS = (
    ('evaluation', 'export'), ('training',), ('inference',), ('pictures',), ('croc', 'hsg'),
    ('features',), ('weights',), ('data',), ('numerics',), ('root',),
)  # fmt: skip
FLOOR = {wing: -height for height, wings in enumerate(FLOORS) for wing in wings}


def modules() -> dict[str, Path]:
    """Files of all modules of mmcroc, by dotted name."""
    found = {}
    for path in sorted((ROOT / 'mmcroc').rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        if '.mim' not in parts:
            found['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return found


def wing_of(module: str) -> str:
    """Wing that a module is in; modules beside the wings are of the root."""
    first = module.partition('.')[2].partition('.')[0]
    return first if first and (ROOT / 'mmcroc' / first).is_dir() else 'root'


def imports() -> Iterator[tuple[str, str]]:
    """Pairs of a module and a module of mmcroc that it imports, wherever in it."""
    known = modules()
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f'{module} imports relatively'
                names = [f'{node.module}.{alias.name}' for alias in node.names]
                targets = [name if name in known else str(node.module) for name in names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            yield from ((module, name) for name in targets if name.split('.')[0] == 'mmcroc')


@functools.cache
def waiting_for(package: str) -> set[str]:
    """Modules of mmcroc that cannot be imported without a module of another package."""
    imported: dict[str, set[str]] = {}
    for module, path in modules().items():
        nodes = ast.parse(path.read_text(encoding='utf-8')).body
        names = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        imported[module] = names | {
            alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
        }
    found: set[str] = set()
    while more := {
        module
        for module, names in imported.items()
        if module not in found
        and any(name in found or f'{name}.'.startswith(f'{package}.') for name in names)
    }:
        found |= more
    return found


@functools.cache
def registered() -> list[tuple[str, str, str]]:
    """Registry, module and name of every class or function that mmcroc registers."""
    found = []
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            for decorator in getattr(node, 'decorator_list', ()):
                text = ast.unparse(decorator)
                if '.register_module(' in text:
                    found.append((text.split('.')[0], module, node.name))
    return found


def table() -> str:
    """Markdown table of the wings, from the top to the ground, and what each imports."""
    below: dict[str, set[str]] = {wing: set() for wing in FLOOR}
    for module, target in imports():
        below[wing_of(module)].add(wing_of(target))
    rows = ['| wing | imports |', '|---|---|']
    for wing in FLOOR:
        others = sorted(below[wing] - {wing, 'root'}, key=list(FLOOR).index)
        rows.append(f'| `{wing}` | {", ".join(f"`{other}`" for other in others) or "–"} |')
    return '\n'.join(row for row in rows if '`root`' not in row)


if __name__ == '__main__':
    print(table())
