from .croc import CrOC

__all__ = ['CrOC']
