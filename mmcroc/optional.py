"""Packages that only some of the work needs."""

import importlib
from types import ModuleType


def require(name: str, purpose: str, install: str) -> ModuleType:
    """Import a module, or say how to get it.

    Raises:
        ImportError: It cannot be imported: ``purpose`` needs it, pip installs it by ``install``.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}, which cannot be imported ({error}): pip install "{install}"'
        ) from error
