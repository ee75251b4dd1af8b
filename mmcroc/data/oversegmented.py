"""Images with over-segmentations: the data set of both."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcroc.data.region_maps import read_oversegmentation
from mmcroc.data.unlabelled import UnlabelledImages
from mmcroc.registry import DATASETS

TOOL = 'python tools/prepare_oversegmentation.py IMAGES OUT'


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
