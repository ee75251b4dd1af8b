"""Weights in one .safetensors file."""

from pathlib import Path

from torch import Tensor

from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import as_strings
from mmcroc.export.source import Source
from mmcroc.optional import require


def write_safetensors(source: Source, path: Path) -> list[str]:
    """Write the weights under MMPretrain's names, and the backbone's config as metadata.

    Args:
        source: What is exported.
        path: The file, ``.safetensors``.

    Returns:
        Lines of Python that load it.
    """
    config = source.architecture.config()
    save_tensors(path, source.state, dict(source.described(), format='pt', config=config))
    return [
        'from mmengine.registry import MODELS',
        'from safetensors.torch import load_file',
        f'backbone = MODELS.build({config!r})',
        f"backbone.load_state_dict(load_file('{path}'))",
    ]


def save_tensors(path: Path, state: dict[str, Tensor], metadata: dict):
    """Write tensors, whole or not at all.

    Args:
        path: The file.
        state: By their names.
        metadata: Becomes strings; ``format='pt'`` is what transformers asks for.
    """
    library = require('safetensors.torch', path.name, 'safetensors')
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with atomic_file(path) as file:
        file.write(library.save(tensors, as_strings(metadata)))
