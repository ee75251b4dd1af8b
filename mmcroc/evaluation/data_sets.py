"""Labelled data: files of ``configs/_base_/datasets`` by name; a user's own images and masks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mmcroc.config_files import config_path, read_config
from mmcroc.foreign_files import read_text

#: Sets of a data set that a protocol may take, in its file.
SETS = ('train_set', 'val_set', 'region_set', 'videos')


class LabelledData(Protocol):
    """Labelled data that protocols score."""

    @property
    def name(self) -> str:
        """Name of the data in tables."""

    def sets(self) -> Mapping[str, Any]:
        """Configs of the data: :data:`SETS`, those there are, and ``num_classes``."""

    def identity(self) -> str:
        """Words that change where other data are meant."""


def data_with(*sets: str) -> dict[str, str]:
    """One line on each data set whose file defines one of these sets, by name."""
    folder = Path(config_path('_base_/datasets/voc.py')).parent
    found = {}
    for path in sorted(folder.glob('*.py')):
        text = path.read_text(encoding='utf-8')
        if re.search(rf'^({"|".join(sets)}) = dict', text, re.MULTILINE):
            comment = re.sub(r'\s*\n#\s*', ' ', text.partition('\n\n')[0]).lstrip('# ')
            found[path.stem] = re.split(r'[.;:(] |\. ', comment)[0].strip()
    return found


def data_names() -> dict[str, str]:
    """One line on each data set there is, by name: those whose file defines one of its sets."""
    return data_with(*SETS)


@dataclass(frozen=True)
class DataSet:
    """A data set of a config file.

    Attributes:
        name: Name of the data set.
        path: Its file.
        data_root: Folder of the data set; None: its config's.
    """

    name: str
    path: str
    data_root: str | None = None

    @classmethod
    def named(cls, name: str, data_root: str | os.PathLike | None = None) -> DataSet:
        """A data set by its name, or by the path of a config file of its own.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: There is no such data set.
        """
        root = None if data_root is None else os.fspath(data_root)
        if root is not None and not Path(root).is_dir():
            raise FileNotFoundError(f'data_root: there is no folder {root}')
        if name.endswith('.py') and Path(name).is_file():
            return cls(Path(name).stem, name, root)
        known = data_names()
        if name not in known:
            raise ValueError(
                f'there is no data set {name!r}; there are {", ".join(known)}, files of your own '
                'like those (FILE.py), and folders of images and masks'
            )
        return cls(name, config_path(f'_base_/datasets/{name}.py'), root)

    def sets(self) -> Mapping[str, Any]:
        """Configs of the data: :data:`SETS`, those there are, and ``num_classes``.

        Raises:
            ValueError: The file cannot be read, or has something else in the place of a set.
        """
        sets = read_config(self.path).to_dict()
        for name in SETS:
            if sets.get(name) and not _is_data_set(sets[name]):
                raise ValueError(f'{self.path}: {name} is no config of a data set')
            if self.data_root is not None and sets.get(name):
                _set_root(sets[name], self.data_root)
        return sets

    def identity(self) -> str:
        """Words that change where other data are meant."""
        return f'{self.name} of {self.data_root and Path(self.data_root).resolve()}'


def _is_data_set(dataset: Any) -> bool:
    """Whether this is a data set's config, or one that wraps such."""
    if not isinstance(dataset, dict) or not isinstance(dataset.get('datasets', []), list | tuple):
        return False
    inner = [*dataset.get('datasets', ()), *filter(None, [dataset.get('dataset')])]
    return all(map(_is_data_set, inner))


def _set_root(dataset: dict[str, Any], root: str) -> None:
    """Give a data set's config, and those that it wraps, a folder."""
    inner = [*dataset.get('datasets', ()), *filter(None, [dataset.get('dataset')])]
    for wrapped in inner:
        _set_root(wrapped, root)
    if not inner:
        dataset['data_root'] = root


class OwnImages:
    """A folder of images and a folder of masks, split into training and validation images.

        data = OwnImages('photos', 'masks', classes=['road', 'grass', 'house'])
        report = mmcroc.evaluate('timm:vit_small_patch16_224.dino', 'linear-ridge', data)

    Masks bear their images' names, whatever the suffix, and hold numbers of classes, 255 where
    nothing counts. Images without a mask are left out.

    Args:
        images: Folder of the images, at any depth.
        masks: Folder of the masks, laid out alike.
        classes: Names of the classes 0, 1, ...; or a text file with a name a line. Default: the
            values met in the masks.
        val_fraction: Share of the images that is scored; a random choice.
        seed: Seed of the choice.
        name: Name in tables. Default: the folder's.

    Raises:
        FileNotFoundError: There is no such folder or file.
        ValueError: Images without masks, masks that hold something else than numbers of classes, or
            a share that leaves nothing to learn from or to score.
    """

    def __init__(
        self,
        images: str | os.PathLike,
        masks: str | os.PathLike,
        classes: str | os.PathLike | Sequence[str] | None = None,
        val_fraction: float = 0.2,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        for what, folder in (('images', images), ('masks', masks)):
            if not Path(folder).is_dir():
                raise FileNotFoundError(f'{what}: there is no folder {folder}')
        self.images, self.masks = os.fspath(images), os.fspath(masks)
        self.classes_file = ''
        if isinstance(classes, str | os.PathLike):
            self.classes_file = os.fspath(classes)
            if not Path(classes).is_file():
                raise FileNotFoundError(f'classes: there is no file {classes}')
            lines = read_text(classes).splitlines()
            classes = [line.strip() for line in lines if line.strip()]
        self.classes = classes if classes is None else list(classes)
        self.val_fraction, self.seed = val_fraction, seed
        self.name = name or Path(images).resolve().name

    @cached_property
    def _sets(self) -> dict[str, Any]:
        from mmcroc.data.own_images import class_values, images_with_masks, split_pairs

        pairs = images_with_masks(self.images, self.masks)
        split_pairs(pairs, 'val', self.val_fraction, self.seed)  # refuses an empty one
        values = class_values(pairs, self.classes, self.classes_file or 'classes')
        dataset = dict(
            type='mmcroc.OwnImagesDataset',
            images=str(Path(self.images).resolve()),
            masks=str(Path(self.masks).resolve()),
            val_fraction=self.val_fraction,
            split_seed=self.seed,
            values=values,
            metainfo=dict(classes=self.classes or [str(value) for value in values]),
        )
        return dict(
            num_classes=len(values),
            train_set=dict(dataset, split='train'),
            val_set=dict(dataset, split='val'),
        )

    def sets(self) -> Mapping[str, Any]:
        """Configs of the data: ``train_set``, ``val_set`` and ``num_classes``."""
        return self._sets

    def identity(self) -> str:
        """Words that change where other images or masks are meant: names, sizes and dates."""
        from mmcroc.data.own_images import images_with_masks

        digest = hashlib.sha256(repr((self.val_fraction, self.seed, self.classes)).encode())
        for pair in images_with_masks(self.images, self.masks):
            for path in pair:
                found = os.stat(path)
                digest.update(repr((path, found.st_size, found.st_mtime_ns)).encode())
        return digest.hexdigest()
