"""CrOC (CVPR 2023, arXiv 2303.13245): online clustering across two views of an image.

README.md beside this file names, for every equation of the paper, the function that computes it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
