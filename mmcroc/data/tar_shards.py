"""Images in tar shards (WebDataset's layout), read where they lie."""

import os
import tarfile
from typing import Any

from mmcroc.data.image_reading import UnreadableImageError, decode_image
from mmcroc.data.unlabelled import IMAGE_SUFFIXES, UnlabelledImages, scan_images
from mmcroc.foreign_files import open_regular
from mmcroc.registry import DATASETS


@DATASETS.register_module()
class TarShards(UnlabelledImages):
    """All images in the tar files of one or several folders, of any name or number in a file.

    Nothing is unpacked. Headers are read once, at the start; then images are read at random
    places, so that order, exact resume and the treatment of unreadable images are those of
    :class:`UnlabelledImages`. Other members (captions, labels) are left alone.

    Args:
        data_root: Folder of the shards, ``*.tar``, at any depth.
        folders: Sub-folders to read from. Default: all.
        **kwargs: Further arguments of :class:`UnlabelledImages`, but no ``ann_file``.

    Raises:
        FileNotFoundError: ``data_root`` or a folder is missing.
        ValueError: No shards or images, a shard that is damaged or compressed, or an ``ann_file``.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images by their places in the shards; the class says what is refused."""
        self._members: dict[str, dict[str, Any]] = {}
        found = super().load_data_list()
        self._members = {}  # the list is kept pickled, and once
        return found

    def _scan(self, folder: str) -> list[str]:
        shards = scan_images(folder, ('.tar',))
        found = [info for shard in shards for info in members_of(shard)]
        self._members |= {info['img_path']: info for info in found}
        return [info['img_path'] for info in found]

    def _describe(self, folder: str, paths: list[str]) -> list[dict[str, Any]]:
        return [self._members[path] for path in paths]

    def _read_list(self) -> list[str]:
        raise ValueError(f'TarShards reads whole shards: ann_file={self.ann_file!r} has no place')

    def _read_sample(self, info: dict[str, Any]) -> dict[str, Any]:
        """Read an image from its place in the shard."""
        try:
            with open_regular(info['shard']) as file:
                file.seek(info['offset'])
                data = file.read(info['size'])
        except OSError as error:
            raise UnreadableImageError(info['img_path'], error.strerror or str(error)) from error
        return dict(img=decode_image(data, info['img_path']))


def members_of(shard: str) -> list[dict[str, Any]]:
    """The images of a shard, in order: ``img_path`` (SHARD/NAME), ``shard``, ``offset``, ``size``.

    Raises:
        ValueError: It is no tar file, is compressed, or ends within a member.
    """
    length, found = os.path.getsize(shard), []
    try:
        with open_regular(shard) as opened, tarfile.open(fileobj=opened, mode='r:') as file:
            for member in file:
                # A negative size has the reader go back for ever.
                if member.size < 0 or member.offset_data + member.size > length:
                    raise tarfile.ReadError('it ends within a member')
                place = dict(shard=shard, offset=member.offset_data, size=member.size)
                if member.isreg() and member.name.lower().endswith(IMAGE_SUFFIXES):
                    found.append(dict(img_path=f'{shard}/{member.name}', **place))
    except (tarfile.TarError, ArithmeticError, LookupError, MemoryError, OSError, RecursionError,
            ValueError) as error:  # fmt: skip
        raise ValueError(
            f'{shard}: {error}. Shards are whole tar files, not compressed (JPEGs do not shrink): '
            'write it again'
        ) from error
    return found
