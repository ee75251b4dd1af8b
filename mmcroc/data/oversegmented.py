"""Images with over-segmentations: region maps and edge maps in files, and the data set of both."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmcroc.atomic_file import atomic_file
from mmcroc.data.image_reading import SIXTEEN_BIT_GREY, open_picture
from mmcroc.data.unlabelled import UnlabelledImages
from mmcroc.foreign_files import open_regular
from mmcroc.registry import DATASETS

TOOL = 'python tools/prepare_oversegmentation.py IMAGES OUT'
#: Pillow's modes of PNG files with one number per pixel; 'P' reads as the indices of the palette.
ONE_CHANNEL = ('1', 'L', 'P', 'I', *SIXTEEN_BIT_GREY)


def read_oversegmentation(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of regions, a PNG of one channel of up to 16 bits, as it was saved: int32 (H, W).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A broken file, or not a PNG of one channel; it names the file.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        with open_picture(path) as image:
            kind, mode = image.format, image.mode
            if kind == 'PNG' and mode in ONE_CHANNEL:
                return np.array(image).astype(np.int32)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read over-segmentation {path!r}: {error}') from error
    raise ValueError(
        f'Over-segmentation {path!r} is {kind} of mode {mode}, but must be a grey or palette PNG '
        'of 8 or 16 bits (uint8 or uint16): one number per pixel, its region, in 0..65535.'
    )


def write_oversegmentation(path: str | os.PathLike[str], regions: np.ndarray) -> None:
    """Write regions (H, W), ids 0 … n - 1, as a grey PNG, whole or not at all.

    Of 8 bits, or of 16 beyond 256 regions; more than 65,536 are a ValueError.
    """
    number = int(regions.max()) + 1
    if number > 65536:
        raise ValueError(f'{number} regions, but a PNG numbers 65536: lower --max-regions')
    with atomic_file(path) as file:
        picture = Image.fromarray(regions.astype(np.uint8 if number <= 256 else np.uint16))
        picture.save(file, format='PNG')


def read_edges(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an edge map: strengths in [0, 1], float32 (H, W).

    Of a grey PNG of 8 or 16 bits, white the strongest, or an ``.npy`` of values in [0, 1].

    Raises:
        ValueError: No such map, or a damaged one.
    """
    try:
        if Path(path).suffix == '.npy':
            with open_regular(path) as file:
                edges = np.load(file, allow_pickle=False)
            if edges.ndim != 2 or edges.dtype.kind != 'f':
                raise ValueError(f'{edges.dtype} {edges.shape}, an edge map is floats (H, W)')
            if not (np.isfinite(edges).all() and edges.min() >= 0 and edges.max() <= 1):
                raise ValueError('values must be finite and in [0, 1]')
            return edges.astype(np.float32)
        with open_picture(path) as image:
            if image.mode not in ('L', 'I', *SIXTEEN_BIT_GREY):
                raise ValueError(f'mode {image.mode}, an edge map is grey of 8 or 16 bits')
            return np.asarray(image).astype(np.float32) / (255 if image.mode == 'L' else 65535)
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read edges {path}: {error}') from error


@DATASETS.register_module()
class OversegmentedImages(UnlabelledImages):
    """Images as in :class:`UnlabelledImages`, each with its over-segmentation.

    The map of ``{folder}/a/b.jpg`` is ``{oversegmentation_folder}/a/b.png``, of the size of the
    image once that is upright. Region ids need not be consecutive, and mean nothing outside of
    their image.

    A sample has ``oversegmentation``, int32 (H, W), and ``oversegmentation_path`` beside
    what :class:`UnlabelledImages` gives. Unreadable images are replaced likewise; a missing or
    broken map stops the run, since a map is made by ourselves and can be made again.

    Args:
        data_root: Folder of images and maps.
        oversegmentation_folders: Folders of the maps, relative to
            ``data_root`` or absolute: one for each of ``folders``, in their order. None: every
            image is one region, for a model that only groups the tokens of a frozen backbone.
        folders: Folders of the images, as in :class:`UnlabelledImages`. Defaults to None:
            ``data_root`` itself, which then may not hold the maps.
        **kwargs: Arguments of :class:`UnlabelledImages`.

    Raises:
        FileNotFoundError: A folder of maps, or a map of one of the first or last three images of
            a folder, is missing; any other missing map is found when it is read.
        ValueError: Not one folder of maps per folder of images, or maps inside a folder that is
            scanned for images. On reading: a broken map, or one of another size than its image.
    """

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        oversegmentation_folders: str | Sequence[str] | None,
        folders: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        data_root = os.fspath(data_root)
        if isinstance(oversegmentation_folders, (str, os.PathLike)):
            oversegmentation_folders = [oversegmentation_folders]
        self.oversegmentation_folders = [
            os.path.join(data_root, folder) for folder in oversegmentation_folders or ()
        ]
        self.without_maps = oversegmentation_folders is None
        super().__init__(data_root=data_root, folders=folders, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List images and maps, as ``dict(img_path, oversegmentation_path)``."""
        if self.without_maps:
            return super().load_data_list()
        if len(self.oversegmentation_folders) != len(self.folders):
            raise ValueError(
                'oversegmentation_folders must name one folder of maps for each folder of images, '
                f'but has {len(self.oversegmentation_folders)} for {len(self.folders)}: '
                f'{self.oversegmentation_folders} for {self.folders}.'
            )
        if not self.ann_file:
            self._check_maps_are_apart()
        return super().load_data_list()

    def _check_maps_are_apart(self) -> None:
        for images in self.folders:
            for maps in self.oversegmentation_folders:
                inside = os.path.relpath(maps, images)
                hidden = inside != os.curdir and any(
                    part.startswith('.') for part in inside.split(os.sep)
                )  # or outside: '..'
                if not hidden:
                    raise ValueError(
                        f'oversegmentation_folders: {maps!r} lies in {images!r}, where all PNG '
                        'files are taken for images. Name the folders of images (folders=[...]), '
                        'or put the maps elsewhere.'
                    )

    def _describe(self, folder: str, paths: list[str]) -> list[dict[str, Any]]:
        """Name each image's map. A wrong folder shows at either end, as for lists of images."""
        if self.without_maps:
            return super()._describe(folder, paths)
        maps = self.oversegmentation_folders[self.folders.index(folder)]
        infos = []
        for path in paths:
            stem = os.path.splitext(os.path.relpath(path, folder))[0]
            infos.append(
                dict(img_path=path, oversegmentation_path=os.path.join(maps, f'{stem}.png'))
            )
        for info in infos[:3] + infos[-3:]:
            if not os.path.isfile(info['oversegmentation_path']):
                raise self._missing(info)
        return infos

    @staticmethod
    def _missing(info: dict[str, Any]) -> FileNotFoundError:
        return FileNotFoundError(
            f'The over-segmentation of {info["img_path"]!r} is missing: expected '
            f'{info["oversegmentation_path"]!r}. Make the maps of a folder: {TOOL}'
        )

    def _read_sample(self, info: dict[str, Any]) -> dict[str, Any]:
        """Read image and map: ``img`` and ``oversegmentation``, int32 (H, W)."""
        sample = super()._read_sample(info)
        if self.without_maps:
            return dict(sample, oversegmentation=np.zeros(sample['img'].shape[:2], np.int32))
        try:
            regions = read_oversegmentation(info['oversegmentation_path'])
        except FileNotFoundError as error:
            raise self._missing(info) from error
        if regions.shape != sample['img'].shape[:2]:
            raise ValueError(
                f'The over-segmentation {info["oversegmentation_path"]!r} is {regions.shape} '
                f'(height, width), but its image {info["img_path"]!r} is '
                f'{sample["img"].shape[:2]}, turned upright as its EXIF data say. Make the map '
                f'from the same file: {TOOL}'
            )
        return dict(sample, oversegmentation=regions)
