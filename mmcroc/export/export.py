"""Backbones to files that other libraries read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcroc.export.huggingface_folder import write_huggingface
from mmcroc.export.mm_checkpoint import write_mmpretrain, write_mmseg
from mmcroc.export.onnx_graph import import_onnx, write_onnx
from mmcroc.export.provenance import save_tensors
from mmcroc.export.source import Source, read_source
from mmcroc.export.timm_weights import write_timm

#: Names that end so are meant for files; ``vit-s.v2`` may be a folder.
FILE_SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors', '.onnx')


def write_safetensors(source: Source, path: Path) -> list[str]:
    """Write the weights under MMPretrain's names, and the backbone's config as metadata."""
    config = source.architecture.config()
    save_tensors(path, source.state, dict(source.described(), config=config))
    return [
        'from mmengine.registry import MODELS',
        'from safetensors.torch import load_file',
        f'backbone = MODELS.build({config!r})',
        f"backbone.load_state_dict(load_file('{path}'))",
    ]


#: How a format is written, and the suffixes of its files, none if it is a folder. Writers take a
#: source and a path, give lines of code that load it, and raise a ValueError where the library has
#: no such architecture.
FORMATS: dict[str, tuple[Callable[[Source, Path], list[str]], tuple[str, ...]]] = dict(
    mmpretrain=(write_mmpretrain, ('.pth',)),
    mmseg=(write_mmseg, ('.pth',)),
    timm=(write_timm, ('.safetensors', '.pth')),
    huggingface=(write_huggingface, ()),
    safetensors=(write_safetensors, ('.safetensors',)),
    onnx=(write_onnx, ('.onnx',)),
)


@dataclass(frozen=True)
class Export:
    """What was written: where, the architecture in words, code that loads it, what to know of it.

    ``metadata`` is the origin of the weights.
    """

    path: Path
    architecture: str
    usage: str
    notes: list[str]
    metadata: dict


def export_backbone(
    model: str,
    format: str,
    out: str | os.PathLike,
    with_neck: bool = False,
    results: Sequence[str | os.PathLike] = (),
    force: bool = False,
) -> Export:
    """Write a backbone so that another library loads it; weights are the same numbers in all.

        export = export_backbone('work_dirs/croc/epoch_300.pth', 'timm', 'croc.safetensors')
        print(export.usage)

    Args:
        model: Name as :func:`mmcroc.features.load_model` takes it; of CrOC the teacher or, as
            ``'croc.pth:student'``, the student; of HSG the backbone without the neck.
        format: One of ``FORMATS``; docs/weights.md says what each is.
        out: File to write, or folder of ``huggingface``.
        with_neck: Whether HSG's neck goes along; ``onnx`` only.
        results: ``results.json`` files of tools/evaluate.py, whose numbers of this model go into
            the metadata.
        force: Whether what is there is replaced.

    Raises:
        FileExistsError: The target is there.
        FileNotFoundError: There is no such checkpoint or results file.
        ImportError: A library is missing; says which extra brings it.
        ValueError: No such model or format, a target of the wrong kind, an architecture that the
            library does not have, or results of other models.
    """
    if format not in FORMATS:
        raise ValueError(f'format must be one of {", ".join(FORMATS)}, got {format!r}')
    if with_neck and format != 'onnx':
        raise ValueError("HSG's neck is no part of these libraries' architectures: onnx only")
    path = Path(out)
    write, suffixes = FORMATS[format]
    _check_target(path, suffixes, force)
    if format == 'mmseg':
        _check_target(path.with_suffix('.py'), ('.py',), force)
    if format == 'onnx':
        import_onnx()  # before any work
    source = read_source(os.fspath(model), with_neck, results)
    usage = '\n'.join(write(source, path))
    return Export(path, source.name, usage, source.notes, source.metadata)


def _check_target(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Refuse a target before any work is done.

    ``suffixes`` are those of which it must have one; none: it is a folder.
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
