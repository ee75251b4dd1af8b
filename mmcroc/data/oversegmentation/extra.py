"""Packages that only the making of region maps needs."""

from mmcroc.optional import require


def import_extra(name):
    """Import a module of the extra ``oversegmentation``.

    Raises:
        ImportError: It is not installed; the message says what to install.
    """
    return require(name, 'Over-segmentation', 'mmcroc[oversegmentation]')
