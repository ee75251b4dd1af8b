"""Any frozen dense model behind one interface, and the vision transformer that is trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
