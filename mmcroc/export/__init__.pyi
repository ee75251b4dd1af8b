from .export import FORMATS as FORMATS
from .export import Export as Export
from .export import export_backbone as export_backbone
