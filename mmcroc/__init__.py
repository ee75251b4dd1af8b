"""Dense self-supervised learning for MMPretrain and MMSegmentation."""

from . import compat  # noqa: F401  first: it makes the mm packages usable, or says why they are not
from .version import __version__

__all__ = ['__version__']
