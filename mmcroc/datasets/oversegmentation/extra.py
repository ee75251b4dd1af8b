"""Packages that only the making of region maps needs."""

import importlib


def import_extra(name):
    """Import a module of the extra ``oversegmentation``.

    Raises:
        ImportError: It is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'Over-segmentation needs {name.split(".")[0]} ({error}). Install the extra: '
            'pip install "mmcroc[oversegmentation]"'
        ) from error
