"""HSG (CVPR 2022, arXiv 2204.11432): hierarchical segment grouping with clustering transformers.

README.md beside this file names, for every equation of the paper, the function that computes it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
