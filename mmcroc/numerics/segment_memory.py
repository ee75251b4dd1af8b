"""A memory of labelled segments: gathered over images and ranks, kept in a file."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mmcroc.atomic_file import atomic_file
from mmcroc.foreign_files import open_regular, require_stored
from mmcroc.numerics.counter_random import counter_uniform
from mmcroc.numerics.distributed import (
    all_gather_stack,
    all_reduce_max,
    all_reduce_sum,
    get_rank,
    get_world_size,
)

#: Segments of image i are numbered from i times this: more than an image has.
SEGMENTS_PER_IMAGE = 1 << 20
FORMAT = 1
_ABSENT, _FINE, _REFUSED = range(3)


@dataclass
class SegmentMemory:
    """Prototypes of segments and their labels.

    Attributes:
        prototypes: Unit vectors, float32 (M, D).
        labels: Labels, int64 (M,).
    """

    prototypes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> 'SegmentMemory':
        """Copy to another device."""
        return SegmentMemory(self.prototypes.to(device), self.labels.to(device))


class SegmentMemoryBuilder:
    """Gathers the segments of this rank's images in main memory.

    Args:
        max_size: Greatest number of segments over all ranks; those whose random numbers are lowest
            are kept. The choice depends on the seed and the images, not on the ranks.
        seed: Seed of the choice.
    """

    def __init__(self, max_size: int | None = None, seed: int = 0) -> None:
        self.max_size, self.seed = max_size, seed
        self.keys: list[Tensor] = []
        self.prototypes: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.held = 0

    def add(self, image: int, prototypes: Tensor, labels: Tensor) -> None:
        """Take one image's segments: unit vectors (S, D) and labels (S,)."""
        self.keys.append(image * SEGMENTS_PER_IMAGE + torch.arange(len(labels)))
        self.prototypes.append(prototypes.float().cpu())
        self.labels.append(labels.long().cpu())
        self.held += len(labels)
        if self.max_size is not None and self.held > 2 * self.max_size:
            self._prune()

    def _prune(self) -> None:
        """Drop the segments that cannot be chosen any more."""
        keys, prototypes, labels = map(torch.cat, (self.keys, self.prototypes, self.labels))
        kept = self._choice(keys)
        self.keys, self.prototypes, self.labels = [keys[kept]], [prototypes[kept]], [labels[kept]]
        self.held = len(kept)

    def _choice(self, keys: Tensor) -> Tensor:
        """Places of the segments that are kept."""
        return counter_uniform(keys, self.seed).argsort()[: self.max_size]

    def gather(self, device: torch.device) -> SegmentMemory:
        """Gather the segments of all ranks, alike on each, in the order of the images.

        Nothing is pickled: each rank writes its rows into a table of zeros, and the tables are
        added up. The memory is empty if no rank has a segment.
        """
        own_keys = torch.cat([torch.empty(0, dtype=torch.long), *self.keys])
        dim = self.prototypes[0].shape[1] if self.prototypes else 0
        dim = int(all_reduce_max(torch.tensor(dim)))
        counts = all_gather_stack(torch.tensor(len(own_keys)))
        first = int(counts[: get_rank()].sum())
        keys = torch.zeros(int(counts.sum()), dtype=torch.long)
        keys[first : first + len(own_keys)] = own_keys
        keys = all_reduce_sum(keys)
        if self.max_size is not None:
            keys = keys[self._choice(keys)]
        keys = keys.sort().values
        place = torch.searchsorted(keys, own_keys).clamp(max=max(len(keys) - 1, 0))
        own = keys[place] == own_keys if len(keys) else own_keys.bool()
        prototypes = torch.zeros(len(keys), dim)
        labels = torch.zeros(len(keys), dtype=torch.long)
        if self.keys:
            prototypes[place[own]] = torch.cat(self.prototypes)[own]
            labels[place[own]] = torch.cat(self.labels)[own]
        memory = SegmentMemory(prototypes, labels).to(device)
        return SegmentMemory(all_reduce_sum(memory.prototypes), all_reduce_sum(memory.labels))


def model_fingerprint(model: nn.Module) -> str:
    """Name a model with its weights, on any device: 32 hexadecimal digits, equal for equal ones."""
    model = getattr(model, 'module', model)
    digest = hashlib.sha256(repr(model).encode())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def write_archive(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray], metadata: dict[str, Any]
) -> None:
    """Write arrays, and ``metadata`` as a JSON string, to an .npz, whole or not at all."""
    with atomic_file(path) as file:
        np.savez(file, metadata=np.array(json.dumps(metadata)), **cast(Any, arrays))


def read_archive(
    path: str | os.PathLike[str], expected: dict[str, Any], what: str, cure: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read arrays and metadata of :func:`write_archive`.

    Args:
        path: Name of the file.
        expected: Metadata that it must have; others may be any.
        what: Name of what the file holds, in errors.
        cure: Advice where it was built otherwise.

    Raises:
        ValueError: It is no such file, or its metadata are others.
    """
    try:
        require_stored(path)
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        found = json.loads(str(arrays.pop('metadata')))
        if not isinstance(found, dict):
            raise ValueError('its metadata are no object')
    except Exception as error:  # unzipping and NumPy raise many types
        raise ValueError(f'{path} is no {what}: {error}') from error
    expected = json.loads(json.dumps(expected))
    differ = [name for name, value in expected.items() if found.get(name) != value]
    if differ:
        listed = '; '.join(f'{n}: {found.get(n)!r} there, {expected[n]!r} here' for n in differ)
        raise ValueError(f'the {what} {path} was built otherwise ({listed}): {cure}')
    return arrays, found


def save_memory(path: str | Path, memory: SegmentMemory, metadata: dict[str, Any]) -> None:
    """Write a memory, and settings that have to be the same for it to be used again, to a file.

    An archive (:func:`write_archive`) of ``prototypes`` (M, D) float32 and ``labels`` (M,) int32.
    Call on the main process.
    """
    labels = memory.labels.cpu().numpy().astype(np.int32)
    arrays = dict(prototypes=memory.prototypes.cpu().numpy(), labels=labels)
    write_archive(path, arrays, dict(metadata, format=FORMAT))


def read_memory(path: str | Path, metadata: dict[str, Any]) -> tuple[SegmentMemory, dict[str, Any]]:
    """Read a memory of :func:`save_memory` onto the CPU; and the file's metadata.

    Raises:
        ValueError: It is no such file, or its metadata are others than expected. Entries that are
            not expected may be any.
    """
    what, cure = 'memory of segments', 'name another file, or delete it to have it built anew'
    arrays, found = read_archive(path, dict(metadata, format=FORMAT), what, cure)
    nothing = np.empty(0)
    prototypes, labels = (arrays.get(name, nothing) for name in ('prototypes', 'labels'))
    shapes = prototypes.shape, labels.shape
    whole = shapes == ((labels.size, found.get('embedding_size')), (labels.size,))
    kinds = prototypes.dtype.kind, labels.dtype.kind
    if not whole or kinds != ('f', 'i') or not isinstance(found.get('num_images'), int):
        raise ValueError(
            f'memory_file {path} is damaged: prototypes {prototypes.dtype} {shapes[0]}, labels '
            f'{labels.dtype} {shapes[1]}, embedding size {found.get("embedding_size")}, '
            f'{found.get("num_images")} images'
        )
    return SegmentMemory(torch.from_numpy(prototypes), torch.from_numpy(labels).long()), found


def share_memory(
    path: str | Path, metadata: dict[str, Any], device: torch.device
) -> tuple[SegmentMemory, int] | None:
    """Read a memory on the main process, for all ranks: only that one needs the file.

    Returns:
        The memory and the number of its images; None if there is no file.

    Raises:
        ValueError: :func:`read_memory` refuses the file; raised on every rank.
    """
    state, memory, error = [_ABSENT, 0, 0, 0], None, None
    if get_rank() == 0 and Path(path).exists():
        try:
            memory, found = read_memory(path, metadata)
            state = [_FINE, *memory.prototypes.shape, found['num_images']]
        except ValueError as raised:
            state[0], error = _REFUSED, raised
    outcome, size, dim, images = all_reduce_sum(torch.tensor(state)).tolist()
    if outcome == _REFUSED:
        raise error or ValueError(f'memory_file {path} is refused: see the main process')
    if outcome == _ABSENT:
        return None
    if memory is None:
        memory = SegmentMemory(torch.zeros(size, dim), torch.zeros(size, dtype=torch.long))
    memory = memory.to(device)
    if get_world_size() > 1:
        memory = SegmentMemory(all_reduce_sum(memory.prototypes), all_reduce_sum(memory.labels))
    return memory, images
