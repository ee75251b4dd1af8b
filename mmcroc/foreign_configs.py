"""Configs that came in a file: what they name is built, and nothing else is imported or called."""

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from mmengine.registry import Registry, registry
from mmengine.utils import get_object_from_string

#: Packages that a type may be named in by its whole path, as configs in Python style do.
PACKAGES = ('mmcroc', 'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'mmseg', 'torch', 'torchvision')


@contextlib.contextmanager
def registered_types_only() -> Iterator[None]:
    """Let a foreign config's types be registered classes, or modules and transforms by their path.

    MMEngine takes a type that is not registered for the path of anything that can be imported, and
    calls it: ``dict(type='os.system', command='...')``. Inside the block this is a KeyError.
    """
    get = Registry.get

    def get_class(self: Registry, key: str) -> Any:
        found = get(self, key)
        if found is not None and not inspect.isclass(found):  # those of Hugging Face fetch code
            raise KeyError(f'type={key!r} is no class')
        return found

    with (
        mock.patch.object(Registry, 'get', get_class),
        mock.patch.object(registry, 'get_object_from_string', _class_at),
        mock.patch.object(registry, 'import_module', _import_registry),
    ):
        yield


def _class_at(path: str) -> type | None:
    """The module or transform at a path in one of ``PACKAGES``; None if there is none."""
    from mmcv.transforms import BaseTransform
    from torch import nn

    if path.partition('.')[0] not in PACKAGES:
        return None
    found = get_object_from_string(path)
    known = inspect.isclass(found) and issubclass(found, nn.Module | BaseTransform)
    return found if known and found.__module__.partition('.')[0] in PACKAGES else None


def _import_registry(name: str) -> Any:
    """Import a module, but no registry of an unknown package that is not there already."""
    known = name.partition('.')[0] in PACKAGES or name in sys.modules
    if name.endswith('.registry') and not known:
        raise ImportError(f'{name} is no registry that a config in a file may name')
    return importlib.import_module(name)
