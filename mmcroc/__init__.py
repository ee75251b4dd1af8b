"""Dense self-supervised learning for MMPretrain and MMSegmentation.

Importing it defines names and does nothing else: no heavy package is imported, nothing of another
is changed. Its wings (:mod:`mmcroc.croc`, :mod:`mmcroc.inference`, ...) are imported at their first
use. ``type='mmcroc.NAME'`` in a config makes MMEngine import :mod:`mmcroc.registry`.
"""

import lazy_loader

from mmcroc.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
