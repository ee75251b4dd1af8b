from .croc_head import CrOCHead

__all__ = ['CrOCHead']
