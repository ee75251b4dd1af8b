"""Backbones to files that other libraries read."""

from .export import FORMATS, Export, export_backbone

__all__ = ['FORMATS', 'Export', 'export_backbone']
