"""Checkpoints that MMEngine loads (``resume``, ``load_from``, ``init_cfg``), without their code."""

from pathlib import Path

from mmengine.dist import barrier, get_rank
from mmengine.runner import CheckpointLoader

from mmcroc.weights.checkpoint_file import download, read_file
from mmcroc.weights.weight_layouts import under_our_names


def run_nothing_of_checkpoints():
    """Let MMEngine read files and http(s) URLs as :func:`mmcroc.features.load_model` does.

    Released files (of CrOC, HSG, DINO, DINOv2, DINOv3, MAE, timm) and Hugging Face's folders
    (``hf:FOLDER`` too) come as checkpoints of ours, a backbone's weights under ``backbone.``
    (:func:`mmcroc.weights.weight_layouts.under_our_names`).

    A checkpoint is a pickle, and a pickle may run anything. MMEngine's own readers do as it says
    (OneDL's, where reading it as weights alone fails). This replaces them for this process, so
    programs call it, not ``import mmcroc``. Other schemes (``torchvision://``, ``s3://``, ...) stay
    MMEngine's.
    """
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)


def load_from_local(filename, map_location=None):
    """Read a file; see :func:`mmcroc.weights.checkpoint_file.read_file`.

    Args:
        filename (str): May begin with ``~``; or a folder of Hugging Face's, after ``hf:`` or not.
        map_location: Not heeded: who loads tensors copies them to where they belong.
    """
    checkpoint = read_file(str(Path(filename.removeprefix('hf:')).expanduser()))
    if not isinstance(checkpoint.get('meta'), dict):
        checkpoint = under_our_names(checkpoint)
    else:
        # A config by MMEngine's former name. Its Runner would run this text to compare the numbers
        # of GPUs.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_from_http(filename, map_location=None):
    """Download a file, the first rank before the others, and read it."""
    if get_rank() == 0:
        download(filename)
    barrier()
    return load_from_local(download(filename))
