"""Names of checkpoints: a path, and which of its networks."""

SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')
#: What may follow a path: CrOC's and DINO's networks; HSG's backbone without the neck.
PARTS = ('teacher', 'student', 'backbone')


def split_checkpoint(model: str) -> tuple[str, str] | None:
    """Path and part of a checkpoint's name, such as ``'dino.pth:student'``.

    Args:
        model: As :func:`mmcroc.features.load_backbone` takes it.

    Returns:
        The path and one of ``PARTS`` or ``''``; None if this is no checkpoint's name.

    Raises:
        ValueError: A part that there is not.
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
