"""What any run needs: start, exact resume, deferred logs, whole checkpoints, pictures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
