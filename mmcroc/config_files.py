"""Configs by name: ``_base_ = 'mmcroc::croc_vit-s_coco.py'``, ``'mmseg::...'``."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


def read_config(path: str | os.PathLike[str], options: dict[str, Any] | None = None) -> Config:
    """Read a config file that may inherit from ours, MMPretrain's and MMSegmentation's by name.

    Args:
        path: Config file, or the name of one of ours, ``'mmcroc::NAME'``.
        options: Settings to change, by dotted names as in ``--cfg-options``.

    Raises:
        FileNotFoundError: The file, or one that it inherits from, does not exist.
        ImportError: An mm package is not installed.
        ValueError: It is no text, no Python, or inherits from itself.
    """
    importlib.import_module('mmcroc.registry')  # names an mm package that is missing
    from mmengine.config import Config

    package, _, name = str(path).partition('::')
    with config_names():
        try:
            cfg = Config.fromfile(config_path(name) if package == 'mmcroc' else path)
        except FileNotFoundError:
            raise
        except Exception as error:
            unread = isinstance(error, RecursionError | SyntaxError | UnicodeDecodeError)
            if Path(path).suffix == '.py' and not unread:
                raise  # the program's own
            raise ValueError(f'{path} is no config that can be read: {error}') from error
    cfg.merge_from_dict(options or {})
    return cfg


@contextlib.contextmanager
def config_names() -> Iterator[None]:
    """Let MMEngine find configs of mmcroc and of MMSegmentation by name, inside the block.

    By itself it asks for a folder before the name, which our pretraining configs do not have; it
    makes the package the scope of what is inherited, in which types that our configs name without a
    prefix are not found; and it looks ``mmseg`` up as a distribution that OneDL's is not called.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    find = Config._get_cfg_path
    distribution = MODULE2PACKAGE['mmseg']
    inherits: dict[str, str] = {}  # heir by base

    def path_and_scope(path: str, filename: str) -> tuple[str, str | None]:
        if not isinstance(path, str):
            raise SyntaxError(f'_base_ = {path!r} in {filename} is no name of a file')
        package, _, name = path.partition('::')
        found: tuple[str, str | None]
        if package == 'mmcroc':
            found = config_path(name), None
        else:
            found = _of_package(find, path) if name else find(path, filename)
        base, file = os.path.realpath(found[0]), os.path.realpath(filename)
        inherits[base] = file
        heirs = {file}
        while (file := inherits.get(file, '')) and file not in heirs:
            heirs.add(file)
        if base in heirs:
            raise SyntaxError(f'_base_ = {path!r} in {filename} inherits from itself')
        return found

    Config._get_cfg_path = staticmethod(path_and_scope)
    MODULE2PACKAGE['mmseg'] = 'mmseg'
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(find)
        MODULE2PACKAGE['mmseg'] = distribution


@functools.cache
def _of_package(find: Callable, path: str) -> tuple[str, str | None]:
    """What MMEngine finds ``PACKAGE::NAME`` by: all of the package's metafiles, each time."""
    return find(path, '')


def config_path(name: str) -> str:
    """File of one of our configs: of the installed package, else of the repository.

    Programs that read configs by MMEngine alone inherit by it:
    ``_base_ = __import__('mmcroc').config_path('croc_vit-s_coco.py')``.

    Raises:
        FileNotFoundError: There is none of this path below ``configs``.
    """
    package = Path(__file__).parent
    folders = [package / '.mim' / 'configs', package.parent / 'configs']
    for folder in folders:
        if name and (folder / name).is_file():
            return str(folder / name)
    raise FileNotFoundError(
        f"_base_ = 'mmcroc::{name}': there is no such config in {' or '.join(map(str, folders))}"
    )


class ConfigOptions(argparse.Action):
    """MMEngine's ``DictAction``, ``KEY=VALUE ...``, imported where settings are given."""

    def __call__(self, *given: Any) -> None:
        """Put the settings into the namespace, a dict by dotted names."""
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest, nargs=self.nargs)(*given)
