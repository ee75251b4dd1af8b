"""Checkpoints that are whole or absent."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from mmcroc.atomic_file import atomic_file
from mmcroc.registry import HOOKS

BACKEND = 'mmcroc_atomic'


@register_backend(BACKEND)
class AtomicLocalBackend(LocalBackend):
    """The local file system; a file appears under its name only once it is written out."""

    def put(self, obj: bytes, filepath: str | Path):
        """Write bytes to a temporary neighbour, then rename it.

        Args:
            obj: What to write.
            filepath: Where.
        """
        with atomic_file(filepath) as file:
            file.write(obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's, but a run that is killed while saving leaves no half-written checkpoint.

    Args:
        backend_args: Another file backend, for remote storage.
        **kwargs: As MMEngine's.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs):
        super().__init__(*args, backend_args=backend_args or dict(backend=BACKEND), **kwargs)
