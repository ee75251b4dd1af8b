"""What other programs call."""

from mmcroc.models.backbones import load_backbone
from mmcroc.models.image_segmentation import init_model, level_names, segment_image

from .context_retrieval import (
    build_memory,
    describe_regions,
    memory_metadata,
    nearest_regions,
    read_context_memory,
    save_context_memory,
)
from .exporting import FORMATS, Export, export_backbone
from .pictures import available_kinds, build_painters, training_views

__all__ = [
    'FORMATS',
    'Export',
    'available_kinds',
    'build_memory',
    'build_painters',
    'describe_regions',
    'export_backbone',
    'init_model',
    'level_names',
    'load_backbone',
    'memory_metadata',
    'nearest_regions',
    'read_context_memory',
    'save_context_memory',
    'segment_image',
    'training_views',
]
