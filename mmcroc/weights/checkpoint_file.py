"""Checkpoint files, read without running anything they bring."""

import argparse
import json
import re
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmcroc.optional import require
from mmcroc.weights.checkpoint_config import config_of_text, config_text
from mmcroc.weights.released_hsg import (
    LAYOUT,
    convert_released_hsg,
    is_released_hsg,
    released_hsg_config,
)
from mmcroc.weights.trained_positions import with_trained_positions
from mmcroc.weights.weight_layouts import HF_PATCHES, detect_layout

#: First bytes of things that are downloaded in the place of weights.
IMPOSTORS = {
    b'version https://git-lfs': 'a Git LFS pointer, not the file itself: run `git lfs pull`',
    b'<!DOCTYPE': 'a web page, not weights: the download went wrong',
    b'<html': 'a web page, not weights: the download went wrong',
}
#: In what torch says of damaged pickles.
CUT_OFF = 'EOF|end of file|Ran out of input|truncated'
#: Weights in a folder as ``save_pretrained`` of Hugging Face's transformers writes it.
HF_FILES = ('model.safetensors', 'pytorch_model.bin')
NUMPY_DTYPES = ('float32', 'float64', 'int64', 'uint32')
ALLOWED = (
    'tensors, plain containers, numpy arrays, argparse.Namespace and log histories of MMEngine'
)


def read_checkpoint(path: str) -> tuple[dict, dict]:
    """Read a checkpoint without running any code it may bring.

    Pickles are read by ``torch.load(weights_only=True)``; what they may contain is listed in
    :func:`checkpoint_contents`.

    HSG's released checkpoints come as those of ``mmcroc.HSG``, with a config, and its own older
    ones with what they lack (:func:`with_trained_positions`); weights with Hugging Face's
    ``config.json`` beside them as those of an MMPretrain model with this backbone.

    Args:
        path: A local file, ``.safetensors`` or a pickle of torch; or a folder as transformers
            writes it, which may have ``hf:`` before it.

    Returns:
        What the file holds; the config in it (:func:`config_of_text`), ``{}`` if there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It takes safetensors, which is not installed.
        ValueError: It is no checkpoint, is damaged, or holds what a checkpoint may not.
    """
    checkpoint = read_file(path)
    try:
        if is_released_hsg(checkpoint):
            state = convert_released_hsg(checkpoint)
            model = released_hsg_config(state)
            return dict(state_dict=state, meta=dict(layout=LAYOUT)), dict(model=model)
        described = _file_of(path).with_name('config.json')
        if HF_PATCHES in checkpoint and described.is_file():
            return _of_huggingface(checkpoint, json.loads(described.read_text()))
        text = config_text(checkpoint)
        return with_trained_positions(checkpoint, text, path), config_of_text(text)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f'{path}: {error}') from error


def read_file(path: str) -> dict:
    """What a local file holds, as :func:`read_checkpoint` but as it stands; tensors on the CPU."""
    path = str(_file_of(path))
    read = _read_safetensors if path.endswith('.safetensors') else _read_pickle
    checkpoint = read(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} is no checkpoint: it holds a {type(checkpoint).__name__}')
    return checkpoint


def _file_of(path):
    """The file of weights: itself, or that of a folder.

    Raises:
        FileNotFoundError: There is none.
    """
    path = Path(path.removeprefix('hf:'))
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f'no checkpoint at {path}')
    for name in HF_FILES:
        if (path / name).is_file():
            return path / name
    raise FileNotFoundError(
        f'no checkpoint in the folder {path}: it holds no {" or ".join(HF_FILES)}'
    )


def _of_huggingface(state, described):
    """A checkpoint of MMPretrain's and its config, of a file and the settings beside it."""
    activation = described.get('hidden_act', 'gelu')
    if activation != 'gelu' and not described.get('use_swiglu_ffn'):
        raise ValueError(f"config.json says hidden_act={activation!r}: MMPretrain's ViT has gelu")
    layout = detect_layout(state)
    cfg, weights = layout.build(state, described.get('num_attention_heads'))
    weights = {f'backbone.{key}': value for key, value in weights.items()}
    model = dict(type='mmpretrain.ImageClassifier', backbone=cfg)
    return dict(state_dict=weights, meta=dict(layout=layout.name)), dict(model=model)


def _read_safetensors(path):
    library = require('safetensors.torch', path, 'safetensors')
    try:
        return library.load_file(path)
    except Exception as error:  # its own type, and OSError
        raise ValueError(f'{path} {_damage(path, error)}') from error


def _read_pickle(path):
    try:
        with torch.serialization.safe_globals(checkpoint_contents()):
            return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # unpickling and unzipping raise many types
        refused = re.search(r'GLOBAL (\S+)', str(error))
        reason = _damage(path, error)
        if refused:
            reason = (
                f'is refused: it would load {refused[1]}, and a checkpoint may hold only {ALLOWED}.'
                ' Nothing of it was run. If you trust its source, save its state dict anew with '
                'the program that made it'
            )
        raise ValueError(f'{path} {reason}') from error


def _damage(path, error):
    size = Path(path).stat().st_size
    with open(path, 'rb') as file:
        start = file.read(64)
    if not size:
        return 'is no checkpoint: the file is empty'
    for mark, found in IMPOSTORS.items():
        if start.lstrip().lower().startswith(mark.lower()):
            return f'is no checkpoint: it is {found}'
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    is_zip = start.startswith(b'PK') and not isinstance(error, UnpicklingError)
    if path.endswith('.safetensors') or is_zip or re.search(CUT_OFF, str(error)):
        return (
            f'cannot be read: truncated or damaged ({size} bytes); copy or download it again '
            f'({text})'
        )
    return f'is no checkpoint that can be read safely: {text}'


def history_statistic(owner, name):
    """What a pickle gets for ``getattr``: statistics of ``HistoryBuffer``, and nothing else."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise UnpicklingError(f'GLOBAL builtins.getattr was asked for {owner!r}, {name!r}')
    return getattr(HistoryBuffer, name)


def checkpoint_contents() -> list:
    """What a pickle may contain besides tensors and plain containers, as torch lists it.

    ``torch.load(weights_only=True)`` refuses everything else, before anything of it runs:

    ==============================================  ============================================
    ``mmengine.logging.HistoryBuffer``              log histories that MMEngine saves, each with
                                                    four functions of its class
    ``getattr``                                     replaced by what finds these four, and
                                                    nothing else
    numpy arrays and scalars of ``NUMPY_DTYPES``    in those histories, and in messages
    ``argparse.Namespace``                          settings that DINO, iBOT, MAE and CrOC save
    ==============================================  ============================================

    None of these runs code of a file's choosing.
    """
    core = np._core if hasattr(np, '_core') else np.core
    return [
        argparse.Namespace,
        HistoryBuffer,
        (history_statistic, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        # The spellings of checkpoints written under the other major version of numpy.
        (core.multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
        (core.multiarray.scalar, 'numpy.core.multiarray.scalar'),
        (core.multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
        (core.multiarray.scalar, 'numpy._core.multiarray.scalar'),
        *(type(np.dtype(name)) for name in NUMPY_DTYPES),
    ]
