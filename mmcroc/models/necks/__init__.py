from .croc_neck import CrOCNeck

__all__ = ['CrOCNeck']
