"""Packages that only some of the work needs."""

import importlib
from types import ModuleType


def require(name: str, purpose: str, install: str) -> ModuleType:
    """Import a package, or say how to get it.

    Args:
        name: Of the module.
        purpose: What needs it, as the error begins.
        install: What pip is to install.

    Raises:
        ImportError: It is not there.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}, which cannot be imported ({error}): pip install "{install}"'
        ) from error
