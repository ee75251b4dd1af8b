"""The tools as one command, from an installed package, anywhere.

    mmcroc train configs/croc_vit-t_scenes.py
    mmcroc evaluate MODEL --protocol linear-ridge --images photos --masks masks --work-dir scores

``mmcroc NAME`` is ``python tools/NAME.py`` of a clone, with the same options (mmcroc NAME --help).
A config below configs/ that is not in the current folder is the package's own. Over several
processes: python -m torch.distributed.run --nproc_per_node 8 -m mmcroc train CONFIG --launcher
pytorch.
"""

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mmcroc.config_files import config_path

PACKAGE = Path(__file__).parent


def commands() -> dict[str, Path]:
    """Names of the commands, and the file that each runs, of the package or else of the clone."""
    tools = PACKAGE / '.mim' / 'tools'
    if not tools.is_dir():
        tools = PACKAGE.parent / 'tools'
    found = [PACKAGE / 'doctor.py', *tools.glob('*.py'), *tools.glob('*_converters/*.py')]
    return {
        path.stem.replace('_', '-'): path
        for path in sorted(found, key=lambda path: path.stem)
        if "== '__main__'" in path.read_text(encoding='utf-8')
    }


def summary(path: Path) -> str:
    """First line of a file's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').partition('\n')[0]


def located(word: str) -> str:
    """An argument as it is, or the file of one of our configs, ``configs/NAME``, ``mmcroc::NAME``.

    Raises:
        FileNotFoundError: We have no config of this name.
    """
    if word.startswith('mmcroc::'):
        return config_path(word.removeprefix('mmcroc::'))
    if word.startswith('configs/') and not Path(word).exists():
        return config_path(word.removeprefix('configs/'))
    return word


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command in place of this program."""
    known = commands()
    width = max(map(len, known))
    listed = '\n'.join(f'  {name:{width}}  {summary(path)}' for name, path in known.items())
    parser = argparse.ArgumentParser(
        'mmcroc', description=__doc__, epilog=f'commands:\n{listed}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('command', metavar='COMMAND', choices=known, help='one of those below')
    parser.add_argument('arguments', metavar='...', nargs=argparse.REMAINDER, help='its arguments')
    args = parser.parse_args(argv)
    try:
        sys.argv = [f'mmcroc {args.command}', *map(located, args.arguments)]
    except FileNotFoundError as error:
        parser.error(str(error))
    # As Python runs a script: worker processes find its functions in ``__main__``.
    tool = known[args.command]
    script = ModuleType('__main__')
    script.__file__ = str(tool)
    sys.modules['__main__'] = script
    sys.path.insert(0, str(tool.parent))
    exec(compile(tool.read_text(encoding='utf-8'), tool, 'exec'), vars(script))


if __name__ == '__main__':
    main()
