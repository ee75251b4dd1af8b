"""Dense self-supervised learning for MMPretrain and MMSegmentation."""

import sys

from mmcroc.version import __version__

# First of all: it makes the mm packages usable, or says why they are not. `python -m mmcroc.doctor`
# does so itself, line by line, and must run where they are missing or broken.
if sys.argv[:1] != ['-m'] or 'mmcroc.doctor' not in sys.orig_argv:
    from mmcroc import compat

__all__ = ['__version__']
