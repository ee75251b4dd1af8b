"""Where files are written."""

import os
import shutil
import tempfile
from pathlib import Path

from mmcroc.doctor.finding import NOTE, OK, PROBLEM, Finding
from mmcroc.doctor.packages import import_error

GIB = 2**30
#: A ViT-S checkpoint with its optimiser takes about 1 GB, and three are kept.
LEAST_SPACE = 5 * GIB


def nearest_folder(path):
    """The folder itself, or the nearest one above it that is there."""
    path = Path(path).absolute()
    while not path.is_dir():
        path = path.parent
    return path


def can_write(folder):
    """Whether a file can be made in a folder; tried, since permissions do not say all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def places():
    """(path, what is kept there, how to move it, how bad it is if nothing can be written)."""
    other = 'start in another folder or give --work-dir'
    yield Path('work_dirs'), 'logs and checkpoints', other, PROBLEM
    yield Path(tempfile.gettempdir()), 'temporary files', 'set TMPDIR', PROBLEM
    if not import_error('torch'):
        import torch

        yield Path(torch.hub.get_dir()), 'downloaded weights (torch.hub)', 'set TORCH_HOME', NOTE
    home = os.environ.get('HF_HOME', Path.home() / '.cache' / 'huggingface')
    yield Path(home), 'downloaded weights (timm:NAME, Hugging Face)', 'set HF_HOME', NOTE


def check_places():
    """Whether results and caches can be written, and how much fits."""
    for path, use, cure, status in places():
        folder = nearest_folder(path)
        if not can_write(folder):
            yield Finding(
                status, f'{use}: cannot write to {folder}', f'Ask for permission there, or {cure}.'
            )
            continue
        free = shutil.disk_usage(folder).free
        text = f'{use}: {path}, {free / GIB:.0f} GiB free'
        if free < LEAST_SPACE:
            yield Finding(NOTE, text, f'Little room for checkpoints: free some, or {cure}.')
        else:
            yield Finding(OK, text)
