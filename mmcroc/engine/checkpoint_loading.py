"""Checkpoints that MMEngine loads (``resume``, ``load_from``, ``init_cfg``), without their code."""

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import CheckpointLoader

from mmcroc.compat import allow_checkpoint_contents
from mmcroc.models.backbones.checkpoint_file import read_file


def run_nothing_of_checkpoints():
    """Let MMEngine read files and URLs as :func:`mmcroc.apis.load_backbone` does.

    A checkpoint is a pickle, and a pickle may run anything. MMEngine's own readers do as it says
    (OneDL's, where reading it as weights alone fails). This replaces them for this process, so
    programs call it, not ``import mmcroc``.
    """
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)


def load_from_local(filename, map_location=None):
    """See :func:`mmcroc.models.backbones.checkpoint_file.read_file`."""
    return read_file(str(filename), map_location)


def load_from_http(filename, map_location=None):
    """Download a checkpoint, on the first rank first, and read its weights only."""
    allow_checkpoint_contents()

    def load():
        return torch.hub.load_state_dict_from_url(
            filename, map_location=map_location, weights_only=True
        )

    rank, world_size = get_dist_info()
    checkpoint = load() if rank == 0 else None
    if world_size > 1:
        torch.distributed.barrier()
    return load() if checkpoint is None else checkpoint
