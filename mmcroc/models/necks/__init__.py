from .croc_neck import CrOCNeck
from .hsg_neck import HSGNeck, LearnedPosition2d

__all__ = ['CrOCNeck', 'HSGNeck', 'LearnedPosition2d']
