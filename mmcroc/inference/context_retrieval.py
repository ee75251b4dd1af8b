"""Context retrieval: which regions of other images are like this one, at a level of granularity.

Ke et al. (HSG), CVPR 2022: a query region, a segment or a group of any level, finds the nearest
regions of that level in other images. A region's prototype is the L2-normalised mean of its
pixels' unit embeddings; near is by cosine.

    model = init_model(None, 'hsg.pth')
    memory = build_memory(model, 'data/photos', scan_images('data/photos'))
    query = describe_regions(model, 'photo.jpg').region_at('level_1', x=120, y=80)
    hits = nearest_regions(memory, 'level_1', query.prototype, 5)
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from mmcroc.data.each_image import for_each_image
from mmcroc.hsg.segments import cut_along_regions, segment_prototypes
from mmcroc.inference.segmentation import as_image, embed_and_segment, level_names
from mmcroc.numerics.neighbours import nearest_entries
from mmcroc.numerics.precision import at_least_float32
from mmcroc.numerics.resize import nearest_resize
from mmcroc.numerics.segment_memory import model_fingerprint, read_archive, write_archive

FORMAT = 1


@dataclass
class Region:
    """A region of an image.

    Attributes:
        mask: bool (H, W), the image's size.
        prototype: (D,), float32, a unit vector.
    """

    mask: np.ndarray
    prototype: Tensor


@dataclass
class ImageRegions:
    """The regions of an image at every level.

    Attributes:
        image: uint8 RGB (H, W, 3).
        maps: By level: int64 (H, W), places in ``prototypes``; -1 where there is no region.
        prototypes: By level: (R, D), float32 on the CPU, unit vectors.
    """

    image: np.ndarray
    maps: dict[str, np.ndarray]
    prototypes: dict[str, Tensor]

    def region_at(self, level: str, x: int, y: int) -> Region:
        """The region of a level at pixel (x, y), counted from the upper left; else a ValueError."""
        if level not in self.maps:
            raise ValueError(f'no level {level!r}; there are {", ".join(self.maps)}')
        height, width = self.image.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(
                f'point ({x}, {y}) lies outside the image of {width} x {height} pixels (x from 0 '
                f'to {width - 1}, y from 0 to {height - 1})'
            )
        place = self.maps[level][y, x]
        if place < 0:
            raise ValueError(f'the over-segmentation has no region at point ({x}, {y})')
        return Region(self.maps[level] == place, self.prototypes[level][place])

    def nearest_to(self, level: str, prototype: Tensor) -> Region:
        """The region of a level that is nearest to a prototype (D,)."""
        place = int((self.prototypes[level] @ prototype).argmax())
        return Region(self.maps[level] == place, self.prototypes[level][place])


@dataclass
class ContextMemory:
    """Prototypes of the regions of many images, level by level.

    Attributes:
        prototypes: By level: (M, D), float32, unit vectors.
        places: By level: (M,), int64, each region's image in ``images``.
        images: Paths.
        failed: Images that could not be done, and why.
        metadata: Settings that a query has to share, of :func:`memory_metadata`.
    """

    prototypes: dict[str, Tensor]
    places: dict[str, Tensor]
    images: list[str]
    failed: dict[str, str]
    metadata: dict


def describe_regions(
    model: BaseModel,
    image: str | os.PathLike | np.ndarray,
    oversegmentation: str | os.PathLike | np.ndarray | None = None,
    longer_side: int = 512,
    num_clusters: int | None = None,
) -> ImageRegions:
    """Regions of an image with their prototypes; arguments and errors as ``segment_image``."""
    shown = as_image(image)
    embedding, maps = embed_and_segment(model, shown, oversegmentation, longer_side, num_clusters)
    # One "image" per level: its labels in place of regions.
    segments = cut_along_regions(torch.zeros_like(maps), maps, 1)
    pixels = F.normalize(at_least_float32(embedding).flatten(1), dim=0).mT
    found = segment_prototypes(pixels.expand(len(maps), -1, -1), segments).float().cpu()
    places = nearest_resize(segments.pixel_segment.view_as(maps), *shown.shape[:2])
    levels = level_names(model)
    return ImageRegions(
        image=shown,
        maps=dict(zip(levels, places.cpu().numpy(), strict=True)),
        prototypes={
            level: rows[:count]
            for level, rows, count in zip(levels, found, segments.counts.tolist(), strict=True)
        },
    )


def memory_metadata(
    model: BaseModel, longer_side: int = 512, num_clusters: int | None = None
) -> dict:
    """What a memory has to share with its queries: the model, and how images are segmented."""
    return dict(
        model=model_fingerprint(model),
        levels=level_names(model),
        longer_side=longer_side,
        num_clusters=num_clusters,
        format=FORMAT,
    )


def build_memory(
    model: BaseModel,
    images: Sequence[str | os.PathLike],
    oversegmentation: Callable[..., Any] | None = None,
    longer_side: int = 512,
    num_clusters: int | None = None,
) -> ContextMemory:
    """Gather the regions of images, one after the other, with a progress bar.

    Args:
        model: Model of :func:`mmcroc.inference.init_model`.
        images: Files.
        oversegmentation: For HSG: function from an image's path to its region map, a file or
            integers.
        longer_side: Images are resized to this for the model, pixels.
        num_clusters: K of the k-means, 8 by default; not for HSG.

    Raises:
        ValueError: No image could be done; else those that could not are in ``failed``.
    """
    metadata = memory_metadata(model, longer_side, num_clusters)

    def describe(path: str | os.PathLike) -> dict[str, Tensor]:
        regions = oversegmentation and oversegmentation(path)
        return describe_regions(model, path, regions, longer_side, num_clusters).prototypes

    found, problems = for_each_image([(path,) for path in images], describe)
    failed = {str(path): problem for (path,), problem in problems.items()}
    if not found:
        why = f': {next(iter(failed.values()))}' if failed else ''
        raise ValueError(f'the memory is empty: none of {len(failed)} images could be used{why}')
    prototypes, places = {}, {}
    for level in metadata['levels']:
        of_images = [prototypes_of[level] for prototypes_of in found.values()]
        counts = torch.tensor([len(rows) for rows in of_images])
        prototypes[level] = torch.cat(of_images)
        places[level] = torch.arange(len(found)).repeat_interleave(counts)
    return ContextMemory(prototypes, places, [str(path) for (path,) in found], failed, metadata)


def nearest_regions(
    memory: ContextMemory,
    level: str,
    prototype: Tensor,
    num_hits: int,
    exclude: str | os.PathLike | None = None,
) -> list[tuple[str, float, Tensor]]:
    """The regions of a level nearest to a prototype, the nearest first.

    Args:
        memory: Memory of the same model as the prototype.
        level: Level of the memory's regions.
        prototype: (D,), a unit vector.
        num_hits: Most regions to return.
        exclude: Image to leave out, however its path is spelled: the query's own.

    Returns:
        Image, cosine and prototype (D,) of each.

    Raises:
        ValueError: No such level, no region of other images, or embeddings of another size.
    """
    if level not in memory.prototypes:
        raise ValueError(f'no level {level!r}; the memory has {", ".join(memory.prototypes)}')
    rows, places = memory.prototypes[level], memory.places[level]
    if exclude is not None:
        own = os.path.realpath(exclude)
        other = torch.tensor([os.path.realpath(path) != own for path in memory.images])[places]
        rows, places = rows[other], places[other]
    if not len(rows):
        raise ValueError(f'the memory has no region of {level} in other images than the query')
    similarities, found = nearest_entries(prototype[None], rows, min(num_hits, len(rows)))
    return [
        (memory.images[places[place]], similarity, rows[place])
        for similarity, place in zip(similarities[0].tolist(), found[0].tolist(), strict=True)
    ]


def save_context_memory(path: str | os.PathLike, memory: ContextMemory, **origin: Any) -> None:
    """Write a memory to a file, whole or not at all.

    An archive (:func:`mmcroc.numerics.segment_memory.write_archive`): per level
    ``prototypes_LEVEL`` (M, D) float32 and ``places_LEVEL`` (M,) int32, the place of each region's
    image in ``images``; metadata of :func:`memory_metadata` with ``images`` (paths), ``failed``
    (path to reason) and ``origin``, facts about the images for whoever reads the file.
    """
    metadata = dict(memory.metadata, images=memory.images, failed=memory.failed, origin=origin)
    arrays = {f'prototypes_{level}': own.numpy() for level, own in memory.prototypes.items()}
    for level, places in memory.places.items():
        arrays[f'places_{level}'] = places.numpy().astype(np.int32)
    write_archive(path, arrays, metadata)


def read_context_memory(path: str | os.PathLike, metadata: dict) -> tuple[ContextMemory, dict]:
    """Read what :func:`save_context_memory` wrote: a memory and its origin.

    ``metadata`` is what :func:`memory_metadata` gives for the model that asks.

    Raises:
        ValueError: It is no such file, is damaged, or was made by another model or otherwise.
    """
    what, cure = 'memory of regions', 'build another, or use its model and settings'
    arrays, found = read_archive(path, metadata, what, cure)
    try:
        images, failed, origin = (found.pop(name) for name in ('images', 'failed', 'origin'))
        levels = found['levels']
        prototypes = {level: torch.from_numpy(arrays[f'prototypes_{level}']) for level in levels}
        places = {level: torch.from_numpy(arrays[f'places_{level}']).long() for level in levels}
        if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
            raise TypeError('images are no list of paths')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is no memory of regions: {error}') from error
    for level in levels:
        rows, own = prototypes[level], places[level]
        whole = rows.dim() == 2 and rows.dtype == torch.float32 and own.shape == rows.shape[:1]
        if not whole or (len(own) and not 0 <= own.min() <= own.max() < len(images)):
            raise ValueError(f'the memory {path} is damaged at {level}: delete it')
    return ContextMemory(prototypes, places, images, failed, found), origin
