"""Files and folders that an export writes: whole or not at all, and never over others unasked."""

from pathlib import Path

from torch import Tensor

from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import as_strings
from mmcroc.optional import require

#: Names that end so are meant for files; ``vit-s.v2`` may be a folder.
FILE_SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors', '.onnx')


def check_target(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Refuse a target before any work is done.

    Args:
        path: File or folder to be written.
        suffixes: Suffixes of which it must have one; none: it is a folder.
        force: Whether what is there may be replaced.

    Raises:
        ValueError: The name does not suit the format, or a file is where a folder is to be, or
            the other way round.
        FileExistsError: It is there, and must not be replaced.
    """
    if suffixes and path.suffix not in suffixes:
        raise ValueError(f'--out {path}: this format writes {" or ".join(suffixes)} files')
    if not suffixes and path.suffix in FILE_SUFFIXES:
        raise ValueError(f'--out {path}: this format writes a folder; leave {path.suffix} out')
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() != (not suffixes):
        raise ValueError(f'--out {path} is a {"folder" if path.is_dir() else "file"}')
    if not force:
        raise FileExistsError(f'{path} is there already; --force replaces it')


def save_tensors(path: Path, state: dict[str, Tensor], metadata: dict) -> None:
    """Write tensors, whole or not at all.

    Args:
        path: The file to write.
        state: Tensors by their names.
        metadata: Metadata, which become strings; ``format='pt'`` is what transformers asks for.
    """
    library = require('safetensors.torch', path.name, 'safetensors')
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with atomic_file(path) as file:
        file.write(library.save(tensors, as_strings(metadata)))
