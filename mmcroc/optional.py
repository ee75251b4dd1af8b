"""Packages that only some of the work needs."""

import importlib
from types import ModuleType


def require(name: str, purpose: str, install: str) -> ModuleType:
    """Import a package, or say how to get it.

    Args:
        name: Name of the module.
        purpose: What needs the package, as the error begins.
        install: Requirement that pip is to install.

    Raises:
        ImportError: The package cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}, which cannot be imported ({error}): pip install "{install}"'
        ) from error
