"""Checkpoints: written whole or not at all, read without running anything they bring."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner

from mmcroc.atomic_file import atomic_file
from mmcroc.registry import HOOKS
from mmcroc.training.starting_weights import SCHEME, load_from_model
from mmcroc.weights.checkpoint_content import below
from mmcroc.weights.checkpoint_file import download, read_file
from mmcroc.weights.weight_layouts import under_our_names

BACKEND = 'mmcroc_atomic'
#: Name of the checkpoint that a run writes when it is told to end.
INTERRUPTED = 'interrupted.pth'


@register_backend(BACKEND)
class AtomicLocalBackend(LocalBackend):
    """Local file system on which a file appears under its name only once it is written out."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a temporary neighbour, then rename it."""
        with atomic_file(filepath) as file:
            file.write(obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Checkpoint hook of MMEngine whose checkpoints are whole, even if the run is killed.

    A checkpoint that another replaces is deleted once the other is written.

    Args:
        *args: Positional arguments of MMEngine's hook.
        backend_args: Another file backend, for remote storage.
        **kwargs: Keyword arguments of MMEngine's hook.
    """

    def __init__(self, *args: Any, backend_args: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, backend_args=backend_args or dict(backend=BACKEND), **kwargs)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Write a checkpoint, then delete the oldest, and one that an interrupt had written."""
        with self._deletions_last():
            super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Write the best checkpoint, then delete the one that was the best."""
        if not self.save_best:  # nor has a validation alone a backend to write by
            return
        with self._deletions_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextlib.contextmanager
    def _deletions_last(self) -> Iterator[None]:
        """Put off what MMEngine deletes until the block's end; after an error it stays."""
        delete = self.file_backend.remove
        old: list[str] = []
        self.file_backend.remove = old.append
        try:
            yield
        finally:
            self.file_backend.remove = delete
        for path in old:
            delete(path)


@HOOKS.register_module()
class TeacherWeightsHook(Hook):
    """Hook by which ``load_from`` of CrOC's checkpoint gives other models the teacher's backbone.

    A checkpoint of CrOC holds the student under the names that any model's backbone has, and
    MMEngine would take that. :func:`mmcroc.training.start` adds the hook to every run; models with
    a teacher of their own get both. Who wants the student names it: ``model.backbone.init_cfg``
    with ``prefix='backbone.'``.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave the teacher's backbone alone in the checkpoint, under the model's names."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        teacher = below('teacher.backbone.', checkpoint.get('state_dict', {}))
        if teacher and not hasattr(model, 'teacher'):
            checkpoint['state_dict'] = {f'backbone.{key}': teacher[key] for key in teacher}
            runner.logger.info(
                "These weights are CrOC's: the backbone is the teacher's (the student's by "
                "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=FILE, "
                "prefix='backbone.') instead of load_from)"
            )


@contextlib.contextmanager
def safe_checkpoint_reading() -> Iterator[None]:
    """Let MMEngine read files and http(s) URLs as :func:`mmcroc.features.load_model` does.

    A checkpoint is a pickle, and a pickle may run anything. MMEngine's own readers do as it says
    (OneDL's, where reading it as weights alone fails). Inside the block ours stand in for them.
    Released files (of CrOC, HSG, DINO, DINOv2, DINOv3, MAE, timm) and Hugging Face's folders
    (``hf:FOLDER`` too) come as checkpoints of ours, a backbone's weights under ``backbone.``
    (:func:`mmcroc.weights.weight_layouts.under_our_names`). ``backbone:MODEL`` is the backbone of
    any MODEL that training can start from, under its module's names
    (:func:`mmcroc.training.starting_weights.find_trainable`). Other schemes (``torchvision://``,
    ``s3://``, ...) stay MMEngine's.
    """
    schemes = dict(CheckpointLoader._schemes)
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
    CheckpointLoader.register_scheme(SCHEME, load_from_model, force=True)
    try:
        yield
    finally:
        CheckpointLoader._schemes = schemes


def find_sound_checkpoint(work_dir: str) -> str | None:
    """Find a run's newest checkpoint that can be read; warn of newer ones that cannot.

    That is the one which ``last_checkpoint`` names, or else the latest to be written. In a work dir
    that was copied or moved it is the one there.

    Args:
        work_dir: Folder of the run.

    Returns:
        Its path; None where the run has written none.

    Raises:
        ValueError: There are checkpoints, and none can be read.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in named:
        return named
    files = [path for path in Path(work_dir).glob('*.pth') if not path.name.startswith('best_')]
    # Times tick coarsely: of two in one tick the one with the higher number is the later.
    files.sort(key=lambda path: (path.stat().st_mtime_ns, len(path.name), path.name), reverse=True)
    if named and not Path(work_dir, Path(named).name).is_file():
        files.insert(0, Path(named))
    elif named:
        files.insert(0, Path(work_dir, Path(named).name))
    problem: Exception | None = None
    for path in dict.fromkeys(files):
        try:
            read_file(str(path))
        except (ValueError, OSError) as error:
            problem = problem or error
            print_log(f'Resume: {error}', logger='current', level=logging.WARNING)
            continue
        if problem is not None:
            print_log(f'Resume: {path} is taken instead', 'current', logging.WARNING)
        return str(path)
    if problem is not None:
        raise ValueError(f'no checkpoint of {work_dir} can be read: {problem}') from problem
    return None


def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a file, or Hugging Face's folder; who loads tensors copies them to where they belong."""
    checkpoint: Any = read_file(str(Path(filename.removeprefix('hf:')).expanduser()))
    if not isinstance(checkpoint.get('meta'), dict):
        checkpoint = under_our_names(checkpoint)
    else:
        # A config by MMEngine's former name. Its Runner would run this text to compare the numbers
        # of GPUs.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_from_http(filename: str, map_location: Any = None) -> dict:
    """Download a checkpoint, on the first rank before the others, and read it."""
    if get_rank() == 0:
        download(filename)
    barrier()
    return load_from_local(download(filename))
