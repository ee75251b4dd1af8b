"""Arguments and refusals that tools share. Nothing heavy is imported before it is needed."""

import argparse
import contextlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmcroc.config_files import ConfigOptions, config_path

#: Beginnings of warnings that a user can do nothing about: an operator of MMCV that mmcroc does not
#: use, memory that is pinned for no GPU, loaders beyond the machine's cores.
NO_NEWS = (
    'Fail to import ``MultiScaleDeformableAttention``',
    "'pin_memory' argument is set as true",
    'This DataLoader will create',
)
#: Names of models that need no file.
NO_FILE = re.compile(r'(random|rgb)$|random:|timm:[^@]+$|hf:\w[\w.-]*(/[\w.-]+)?$|[\w+.-]+://')


def quiet() -> None:
    """Leave out, in a program of ours, the warnings that are no news."""
    for message in NO_NEWS:
        warnings.filterwarnings('ignore', re.escape(message))


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is laid out."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def parse_run(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """Arguments of a run of MMEngine's: a parser's, and those of configs and launchers."""
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={},
                        help='override settings, in the form key.subkey=value')  # fmt: skip
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add how a model is loaded and what it sees of an image."""
    parser.add_argument('--config', help='default: the one in the checkpoint')
    parser.add_argument('--longer-side', type=int, default=512,
                        help='images are resized to this for the model (default: 512)')  # fmt: skip
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add what is worked on, by which model, and where the results go."""
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER', type=existing)
    parser.add_argument('checkpoint', metavar='CHECKPOINT')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    add_model(parser)


def config_file(path: str) -> str:
    """An argument that is a config: a file, or ``mmcroc::NAME``."""
    package, _, name = path.partition('::')
    try:
        if package == 'mmcroc' or not Path(path).is_file():
            config_path(name if package == 'mmcroc' else '')
    except FileNotFoundError:
        raise argparse.ArgumentTypeError(f'{path}: no such config') from None
    return path


def require_model(name: str) -> None:
    """Refuse a MODEL that is not there, as far as this is known before anything is imported.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is no file, no name with a known prefix, and none of MMPretrain's.
    """
    model, _, file = name.partition('@')
    if NO_FILE.match(name) or (not file and model in mmpretrain_names()):
        return
    path = Path(file or re.sub(r'^(hf|regions):|:(teacher|student|backbone)$', '', name))
    if path.exists() or (not file and not mmpretrain_names()):
        return
    if file or path.suffix or os.sep in name:
        raise FileNotFoundError(f'no checkpoint at {path}')
    raise ValueError(
        f'{name!r} is no checkpoint, not timm:NAME, hf:NAME, random or rgb, and no name of '
        'mmpretrain.list_models()'
    )


def mmpretrain_names() -> set[str]:
    """Names of MMPretrain's models, of its files; none where these are not found."""
    found = importlib.util.find_spec('mmpretrain')
    roots = (found and found.submodule_search_locations) or ()
    files = [path for root in roots for path in Path(root).glob('.mim/configs/*/metafile.yml')]
    texts = [path.read_text(encoding='utf-8') for path in files]
    return {name for text in texts for name in re.findall(r'^ *- Name: (\S+)', text, re.MULTILINE)}


def existing(path: str) -> Path:
    """An argument that is a file or a folder."""
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f'{path}: no such image or folder')
    return Path(path)


def folder(path: str) -> Path:
    """An argument that is a folder."""
    if not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f'{path} is not a folder')
    return Path(path)


def positive(text: str) -> int:
    """An argument that is a number, at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} must be >= 1')
    return int(text)


@contextlib.contextmanager
def refusals(before: str = '', errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Let what cannot be, and further errors, end a program with one sentence after some words."""
    try:
        yield
    except (ImportError, OSError, ValueError, KeyError) + errors as error:  # noqa: RUF005
        # Torch's take several lines.
        sys.exit(before + ' '.join(line.strip() for line in str(error).splitlines()))
