from .croc_head import CrOCHead
from .hsg_head import HSGHead

__all__ = ['CrOCHead', 'HSGHead']
