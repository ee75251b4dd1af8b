"""Dense self-supervised learning for MMPretrain and MMSegmentation.

Importing it defines names and does nothing else: no package is imported, nothing of another is
changed. ``type='mmcroc.NAME'`` in a config makes MMEngine import :mod:`mmcroc.registry`.
"""

from mmcroc.config_files import config_path, read_config
from mmcroc.version import __version__

__all__ = ['__version__', 'config_path', 'read_config']
