"""Checkpoint files, read without running anything they bring."""

import argparse
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcroc.foreign_files import read_json
from mmcroc.optional import require
from mmcroc.weights.checkpoint_content import check_config, config_of_text, config_text
from mmcroc.weights.pickle_check import check_after, check_before
from mmcroc.weights.weight_layouts import HF_PATCHES, detect_layout

SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')
#: What may follow a path: CrOC's and DINO's networks; HSG's backbone without the neck.
PARTS = ('teacher', 'student', 'backbone')
#: First bytes of things that are downloaded in the place of weights.
IMPOSTORS = {
    b'version https://git-lfs': 'a Git LFS pointer, not the file itself: run `git lfs pull`',
    b'<!doctype': 'a web page, not weights: the download went wrong',
    b'<html': 'a web page, not weights: the download went wrong',
}
#: In what torch says of damaged pickles.
CUT_OFF = 'EOF|end of file|Ran out of input|truncated|exhausted|remain'
#: Weights in a folder as ``save_pretrained`` of Hugging Face's transformers writes it.
HF_FILES = ('model.safetensors', 'pytorch_model.bin')
NUMPY_DTYPES = ('float32', 'float64', 'int64', 'uint32')


def split_checkpoint(model: str) -> tuple[str, str] | None:
    """Path and part (of ``PARTS``, or ``''``) of a name such as ``'dino.pth:student'``.

    None if this is no checkpoint's name; a ValueError of other parts.
    """
    if '@' in model:
        return None
    if model.endswith(SUFFIXES):
        return model, ''
    path, _, part = model.rpartition(':')
    if not path.endswith(SUFFIXES):
        return None
    if part not in PARTS:
        raise ValueError(f'{model}: after a checkpoint comes {" or ".join(PARTS)}, not {part!r}')
    return path, part


def download(url: str) -> str:
    """The file of a URL, in torch's cache, where MMEngine puts it too."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise OSError(f'{url} cannot be downloaded: {error}') from error
    return str(path)


def read_checkpoint(path: str) -> tuple[dict, dict]:
    """Content of a checkpoint, and the config in it (``{}`` if none); no code of it is run.

    Pickles may hold what :func:`allowed_contents` lists. Weights with Hugging Face's
    ``config.json`` beside them come as those of an MMPretrain model with this backbone.

    Args:
        path: A local file, ``.safetensors`` or a pickle of torch; or a folder as transformers
            writes it, which may have ``hf:`` before it.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It takes safetensors, which is not installed.
        ValueError: It is no checkpoint, is damaged, or holds what a checkpoint may not.
    """
    checkpoint = read_file(path)
    try:
        described = file_of(path).with_name('config.json')
        if HF_PATCHES in checkpoint and described.is_file():
            return _of_huggingface(checkpoint, read_json(described))
        config = config_of_text(config_text(checkpoint))
        check_config(config)
        return checkpoint, config
    except (ValueError, SyntaxError) as error:
        raise ValueError(f'{path}: {error}') from error


def read_file(path: str) -> dict:
    """Content of a file as it stands, on the CPU; errors as :func:`read_checkpoint`."""
    file = file_of(path)
    read = _read_pickle
    if file.suffix == '.safetensors':
        read = require('safetensors.torch', path, 'safetensors').load_file
    try:
        checkpoint = read(str(file))
    except Exception as error:  # unpickling, unzipping and safetensors raise many types
        raise ValueError(f'{file} {_problem(file, error)}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{file} is no checkpoint: it holds a {type(checkpoint).__name__}')
    return checkpoint


def file_of(path: str) -> Path:
    """The file of weights: itself, or that of a folder; FileNotFoundError if there is none."""
    file = Path(path.removeprefix('hf:'))
    if file.is_file():
        return file
    if not file.is_dir():
        raise FileNotFoundError(f'no checkpoint at {file}')
    for name in HF_FILES:
        if (file / name).is_file():
            return file / name
    raise FileNotFoundError(
        f'no checkpoint in the folder {file}: it holds no {" or ".join(HF_FILES)}'
    )


def _of_huggingface(state: dict[str, Tensor], described: dict) -> tuple[dict, dict]:
    """A checkpoint of MMPretrain's and its config, of a file and the settings beside it."""
    activation = described.get('hidden_act', 'gelu')
    if activation != 'gelu' and not described.get('use_swiglu_ffn'):
        raise ValueError(f"config.json says hidden_act={activation!r}: MMPretrain's ViT has gelu")
    layout = detect_layout(state)
    cfg, weights = layout.build(state, described.get('num_attention_heads'))
    weights = {f'backbone.{key}': value for key, value in weights.items()}
    model = dict(type='mmpretrain.ImageClassifier', backbone=cfg)
    return dict(state_dict=weights, meta=dict(layout=layout.name)), dict(model=model)


def _history_statistic(owner: type, name: str) -> Any:
    """What a pickle gets for ``getattr``: statistics of ``HistoryBuffer``, and nothing else."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise UnpicklingError(f'GLOBAL builtins.getattr was asked for {owner!r}, {name!r}')
    return getattr(HistoryBuffer, name)


def allowed_contents() -> torch.serialization.safe_globals:
    """A context in which a pickle may contain more than tensors and plain containers.

    None of it runs code of a file's choosing: log histories that MMEngine saves
    (``HistoryBuffer``, and ``getattr`` for four functions of that class alone), numpy arrays and
    scalars of ``NUMPY_DTYPES`` in them and in messages, and the ``argparse.Namespace`` of settings
    that DINO, iBOT, MAE and CrOC save. Outside of the context torch's list is as it was.
    """
    from mmengine.logging import HistoryBuffer

    # What numpy itself names: its modules for these have moved, and 1.26 has both places.
    arrays = [
        ('_reconstruct', np.empty(0).__reduce__()[0]),
        ('scalar', np.float64(0).__reduce__()[0]),
    ]
    contents = [
        argparse.Namespace,
        HistoryBuffer,
        (_history_statistic, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        # The spellings of checkpoints written under either major version of numpy.
        *((make, f'numpy.{spelling}.multiarray.{name}') for spelling in ('core', '_core')
          for name, make in arrays),
        *(type(np.dtype(name)) for name in NUMPY_DTYPES),
    ]  # fmt: skip
    # What is allowed already must not be taken off the list at the end.
    allowed = torch.serialization.get_safe_globals()
    return torch.serialization.safe_globals([c for c in contents if c not in allowed])


def _read_pickle(path: str) -> Any:
    check_before(path)
    _check_sums(path)
    with allowed_contents():
        content = torch.load(path, map_location='cpu', weights_only=True)
    check_after(content, Path(path).stat().st_size)
    return content


def _check_sums(path: str) -> None:
    """Compare what torch has stored with its checksums, which torch itself does not do.

    Raises:
        zipfile.BadZipFile: They differ.
    """
    if not zipfile.is_zipfile(path):
        return  # torch's older format, without checksums
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            # torch.serialization.set_crc32_options(False) leaves sums of 0.
            if entry.CRC and entry.compress_type == zipfile.ZIP_STORED:
                with archive.open(entry) as file:
                    while file.read(1 << 20):
                        pass


def _problem(file: Path, error: Exception) -> str:
    """What is wrong with a file that cannot be read, in words."""
    if refused := re.search(r'GLOBAL (\S+)', str(error)):
        return (
            f'is refused: it would load {refused[1]}, and a checkpoint may hold only tensors, '
            'plain containers, numpy arrays, argparse.Namespace and log histories of MMEngine. '
            'Nothing of it was run. If you trust its source, save its state dict anew with the '
            'program that made it'
        )
    size = file.stat().st_size
    with file.open('rb') as opened:
        start = opened.read(64).lstrip().lower()
    if not size:
        return 'is no checkpoint: the file is empty'
    for mark, found in IMPOSTORS.items():
        if start.startswith(mark):
            return f'is no checkpoint: it is {found}'
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # A name that a library here does not have is no damage: sums were compared before.
    own = UnpicklingError | AttributeError | ImportError
    is_zip = start.startswith(b'pk') and not isinstance(error, own)
    if file.suffix == '.safetensors' or is_zip or re.search(CUT_OFF, str(error)):
        return (
            f'cannot be read: truncated or damaged ({size} bytes); copy or download it again '
            f'({text})'
        )
    return f'is no checkpoint that can be read safely: {text}'
