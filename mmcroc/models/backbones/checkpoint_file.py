"""Checkpoint files, read without running anything they bring."""

import re
from pathlib import Path
from pickle import UnpicklingError

import torch

from mmcroc.compat import allow_checkpoint_contents
from mmcroc.models.layouts.released_hsg import (
    LAYOUT,
    convert_released_hsg,
    is_released_hsg,
    released_hsg_config,
)
from mmcroc.optional import require

from .checkpoint_config import config_of_text, config_text
from .trained_positions import with_trained_positions

#: First bytes of things that are downloaded in the place of weights.
IMPOSTORS = {
    b'version https://git-lfs': 'a Git LFS pointer, not the file itself: run `git lfs pull`',
    b'<!DOCTYPE': 'a web page, not weights: the download went wrong',
    b'<html': 'a web page, not weights: the download went wrong',
}
#: In what torch says of damaged pickles.
CUT_OFF = 'EOF|end of file|Ran out of input|truncated'
ALLOWED = (
    'tensors, plain containers, numpy arrays, argparse.Namespace and log histories of MMEngine'
)


def read_checkpoint(path: str) -> tuple[dict, dict]:
    """Read a checkpoint without running any code it may bring.

    Pickles are read by ``torch.load(weights_only=True)``; what they may contain is listed in
    :func:`mmcroc.compat.allow_checkpoint_contents`.

    HSG's released checkpoints come as those of ``mmcroc.HSG``, with a config; its own older ones
    get what they lack (:func:`with_trained_positions`).

    Args:
        path: A local file, ``.safetensors`` or a pickle of torch.

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
        text = config_text(checkpoint)
        return with_trained_positions(checkpoint, text, path), config_of_text(text)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f'{path}: {error}') from error


def read_file(path: str) -> dict:
    """What a local file holds, as :func:`read_checkpoint` but as it stands; tensors on the CPU."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    read = _read_safetensors if path.endswith('.safetensors') else _read_pickle
    checkpoint = read(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} is no checkpoint: it holds a {type(checkpoint).__name__}')
    return checkpoint


def _read_safetensors(path):
    library = require('safetensors.torch', path, 'safetensors')
    try:
        return library.load_file(path)
    except Exception as error:  # its own type, and OSError
        raise ValueError(f'{path} {_damage(path, error)}') from error


def _read_pickle(path):
    allow_checkpoint_contents()
    try:
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
