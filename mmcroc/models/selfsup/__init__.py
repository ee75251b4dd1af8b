from .croc import CrOC
from .hsg import HSG

__all__ = ['HSG', 'CrOC']
