"""Folders of images, without labels."""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmcroc.data.image_reading import UnreadableImageError, read_image
from mmcroc.data.prepared_cache import prepared_cache
from mmcroc.data.sample_seed import SeededSamples
from mmcroc.foreign_files import read_text
from mmcroc.registry import DATASETS

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')


def scan_images(
    folder: str | os.PathLike[str], suffixes: tuple[str, ...] = IMAGE_SUFFIXES
) -> list[str]:
    """List the images below a folder, at any depth, sorted; hidden ones are left out.

    Links to folders are followed, but for those back to a folder that they lie in.
    """
    images: list[str] = []
    # Folders to read, each with the real ones that it lies in.
    folders: list[tuple[str | os.PathLike[str], tuple[str, ...]]] = [(folder, ())]
    while folders:
        place, above = folders.pop()
        real = os.path.realpath(place)
        if real in above:
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith('.'):
                    continue
                # The suffix first: it spares a question to the file system per image.
                if entry.name.lower().endswith(suffixes):
                    images.append(entry.path)
                elif entry.is_dir():
                    folders.append((entry.path, (*above, real)))
    # scandir's order is the file system's: without sorting, an index means another image elsewhere.
    return sorted(images)


@DATASETS.register_module()
class UnlabelledImages(SeededSamples, BaseDataset):
    """All images of one or several folders, or those that a list names. No labels are needed.

    A sample arrives at the pipeline as ``dict(img, img_path, sample_idx, img_shape, ori_shape,
    unreadable)`` with ``img`` read (RGB uint8): no loading transform is needed.

    An image that cannot be read is replaced by another, chosen at random but determined by the
    sample's seed; ``unreadable`` tells of it as a tuple of (path, reason), usually empty.
    :class:`~mmcroc.training.UnreadableImagesHook` counts them and owns the limit.

    Args:
        data_root: Folder of the images.
        folders: Sub-folders of ``data_root``, or absolute ones, to read
            from. For COCO+: ``['train2017', 'unlabeled2017']``. Defaults to None: ``data_root``.
        ann_file: Text file with the names of the images to use, one per line, relative to
            the (single) folder; itself relative to ``data_root``. Defaults to '': use all.
        img_suffix: Suffix of names in ``ann_file`` that have none. Defaults to '.jpg'.
        replace_unreadable: Replace unreadable images. False raises at the first one.
            Defaults to True.
        pipeline: Transforms or their configs.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Attributes:
        names_digest: Changes with the names of the images below their folders, or their order.

    Raises:
        FileNotFoundError: ``data_root``, a folder, the list, or an image of the list is missing.
        ValueError: A folder without images, an empty list, a list for several folders, or a folder
            that ``tools/prepare_cache.py`` has not finished.
    """

    #: Unreadable images in a row after which something else must be wrong.
    MAX_REPLACEMENTS = 20

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        folders: Sequence[str] | None = None,
        ann_file: str = '',
        img_suffix: str = '.jpg',
        replace_unreadable: bool = True,
        pipeline: Sequence[dict[str, Any] | Callable[..., Any]] = (),
        **kwargs: Any,
    ) -> None:
        data_root = os.fspath(data_root)
        if isinstance(folders, str):
            folders = [folders]
        self.folders = [os.path.join(data_root, folder) for folder in folders or ()] or [data_root]
        self.img_suffix = img_suffix
        self.replace_unreadable = replace_unreadable
        super().__init__(data_root=data_root, ann_file=ann_file, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images, as ``dict(img_path=...)``; the class says what is refused."""
        if not os.path.isdir(self.data_root):
            raise FileNotFoundError(f'data_root={self.data_root!r} is not a folder.')
        for folder in self.folders:
            if not os.path.isdir(folder):
                raise FileNotFoundError(
                    f'folders: {folder!r} is not a folder (data_root={self.data_root!r}).'
                )
        if self.ann_file:
            found = {self.folders[0]: self._read_list()}
        else:
            found = {folder: self._scan(folder) for folder in self.folders}
        for folder, images in found.items():
            if not images:
                raise ValueError(
                    f'No images in {folder!r} (config fields data_root and folders); looked for '
                    f'{", ".join(IMAGE_SUFFIXES)} at any depth. Shards (.tar) are read by '
                    "type='mmcroc.TarShards'."
                )
        counts = ', '.join(f'{len(images)} in {folder}' for folder, images in found.items())
        total = sum(map(len, found.values()))
        print_log(f'{type(self).__name__}: {total} images ({counts})', logger='current')
        for folder in found:
            if cache := prepared_cache(folder):
                print_log(
                    f'{type(self).__name__}: {folder} is a shrunken copy of {cache["images"]}: '
                    f'short side {cache["short_side"]} at most, JPEG quality {cache["quality"]}, '
                    f'{cache["left_out"]} unreadable images left out',
                    logger='current',
                )
        self.names_digest = _digest_of_names(found)
        return [info for folder in found for info in self._describe(folder, found[folder])]

    def _scan(self, folder: str) -> list[str]:
        """Paths of all images of one of ``folders``, sorted."""
        return scan_images(folder)

    def _describe(self, folder: str, paths: list[str]) -> list[dict[str, Any]]:
        """Describe the images of one of ``folders`` by what is needed to read them."""
        return [dict(img_path=path) for path in paths]

    def _read_list(self) -> list[str]:
        """Paths of the images that ``ann_file`` names."""
        if len(self.folders) > 1:
            raise ValueError(
                f'ann_file={self.ann_file!r} names images of one folder, but folders has '
                f'{len(self.folders)}: {self.folders}. Use one data set per list.'
            )
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'ann_file={self.ann_file!r} is not a file.')
        names = [line.strip() for line in read_text(self.ann_file).splitlines() if line.strip()]
        if not names:
            raise ValueError(f'ann_file={self.ann_file!r} names no image.')
        paths = [
            os.path.join(
                self.folders[0],
                name if name.lower().endswith(IMAGE_SUFFIXES) else name + self.img_suffix,
            )
            for name in names
        ]
        # A wrong folder or suffix shows at either end; asking for all takes minutes on a network.
        for path in paths[:3] + paths[-3:]:
            if not os.path.isfile(path):
                raise FileNotFoundError(
                    f'ann_file={self.ann_file!r} names {path!r}, which does not exist. Check '
                    f'data_root, folders and img_suffix={self.img_suffix!r}.'
                )
        return paths

    def _read_sample(self, info: dict[str, Any]) -> dict[str, Any]:
        """Read the files of a sample: a dict with ``img`` and what else the pipeline gets.

        An :class:`UnreadableImageError` has the sample replaced, any other error stops the run.
        """
        return dict(img=read_image(info['img_path']))

    def prepare_data(self, idx: int) -> Any:
        """Read an image and run the pipeline on it.

        Raises:
            UnreadableImageError: ``MAX_REPLACEMENTS`` images in a row were unreadable, or the
                first one was and ``replace_unreadable`` is False.
        """
        unreadable: dict[str, str | None] = {}  # reason by path
        attempts = 0
        while True:
            info = self.get_data_info(idx)
            try:
                info.update(self._read_sample(info))
                break
            except UnreadableImageError as error:
                if not self.replace_unreadable:
                    raise
                unreadable[error.path] = error.reason
                attempts += 1
                # Seen without the hook too; Python shows the same text once per process.
                warnings.warn(f'{error}; another image takes its place.', stacklevel=2)
                if attempts >= self.MAX_REPLACEMENTS:
                    listed = '\n'.join(f'  {path}: {why}' for path, why in unreadable.items())
                    raise UnreadableImageError(
                        f'{attempts} attempts in a row met unreadable images:\n{listed}'
                    ) from error
                idx = self._rand_another()
        shape = info['img'].shape[:2]
        info.update(img_shape=shape, ori_shape=shape, unreadable=tuple(unreadable.items()))
        return self.pipeline(info)


def _digest_of_names(found: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of the paths of images by folder, below these."""
    digest = hashlib.sha256()
    for folder, paths in found.items():
        for path in paths:
            digest.update(os.fsencode(path[len(folder) :].lstrip(os.sep)) + b'\0')
        digest.update(b'\0')
    return digest.hexdigest()


def named_images(images: Path, out: Path) -> list[tuple[Path, Path]]:
    """An image, or all below a folder, each with the relative name (a PNG) of its result.

    Images in ``out`` are an earlier run's, and left out.

    Raises:
        ValueError: There are no images, or two would have one name.
    """
    root, paths = images.parent, [images]
    if images.is_dir():
        root, out = images, out.resolve()
        paths = [Path(path) for path in scan_images(images)]
        paths = [path for path in paths if not path.resolve().is_relative_to(out)]
    if not paths:
        raise ValueError(f'no images below {images}')
    names: dict[Path, Path] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix('.png')
        if name in names:
            raise ValueError(f'{names[name]} and {path} would both become {name}: rename one')
        names[name] = path
    return [(path, name) for name, path in names.items()]
