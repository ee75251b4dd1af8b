"""What other programs call."""

from mmcroc.models.backbones import load_backbone

__all__ = ['load_backbone']
