"""Protocols by name: files of ``configs/_base_/protocols``, with what a user changed in them."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from mmcroc.config_files import config_path, read_config
from mmcroc.evaluation.data_sets import DataSet, LabelledData, data_with

if TYPE_CHECKING:
    from mmengine.config import Config

_DATALOADERS = ('val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')
#: Settings that change no number: how fast, with what memory, and where to.
NO_EFFECT = re.compile(
    r'(num_workers|persistent_workers|pin_memory|prefetch_factor|max_gib|memory_file|data_root)$'
    r'|^(val|test)_dataloader\.batch_size$|_evaluator\.train_dataloader\.batch_size$'
    r'|^(default_hooks|env_cfg|log_level|launcher|work_dir|visualizer)\b'
)


def protocol_names() -> dict[str, str]:
    """One line on each protocol there is, by name: those whose file begins ``# Protocol NAME:``."""
    folder = Path(config_path('_base_/protocols/leopart.py')).parent
    found = {}
    for path in sorted(folder.glob('*.py')):
        text = re.match(r'(?:#.*\n)+', path.read_text(encoding='utf-8'))
        comment = re.sub(r'\s*\n?#\s*', ' ', text[0] if text else '').strip()
        if head := re.match(rf'Protocol {re.escape(path.stem)}: (.*?)\.( |$)', comment):
            found[path.stem] = head[1]
    return found


@dataclass(frozen=True)
class Protocol:
    """A protocol, and the settings that somebody changed.

    Attributes:
        base: Name of the protocol that it is or was changed from.
        path: File of the protocol.
        settings: Changed settings by name, see :meth:`changed`.
    """

    base: str
    path: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the protocol, ending in ``*`` where settings are changed."""
        return f'{self.base}*' if self.settings else self.base

    def changed(self, settings: Mapping[str, Any] | None = None, /, **named: Any) -> Protocol:
        """The protocol with other settings, which has another name.

            protocol('clustering-leopart').changed(num_restarts=2)
            protocol('linear-leopart').changed({'train_cfg.max_epochs': 5}, image_size=224)

        Args:
            settings: Settings by dotted names of the protocol's config.
            **named: Settings of the protocol's metric; ``image_size``, pixels.
        """
        return replace(self, settings={**self.settings, **(settings or {}), **named})

    def read(self, data: LabelledData, image_size: int | None = None) -> Config:
        """The protocol's config on a data set, as published but for the image size.

        Raises:
            ValueError: The data lack what the protocol scores.
        """
        sets = data.sets()
        path = self.path
        if other := (sets.get('protocol_files') or {}).get(self.base):
            path = config_path(f'_base_/protocols/{other}.py')
        size = {} if image_size is None else {'MMCROC_IMAGE_SIZE': str(image_size)}
        with mock.patch.dict(os.environ, size), _quiet():
            cfg = read_config(path)
        _put_data(cfg, sets, f'{self.base} on {data.name}')
        for name in _EVALUATORS if 'function' not in cfg else ():
            cfg[name].update((sets.get('protocol_settings') or {}).get(self.base, {}))
        return cfg


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MMEngine from telling of the environment variable that carries the image size."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def protocol(name: str | Protocol) -> Protocol:
    """A protocol by its name, or by the path of a config file of its own.

    Raises:
        ValueError: There is no such protocol.
    """
    if isinstance(name, Protocol):
        return name
    if name.endswith('.py') and Path(name).is_file():
        return Protocol(Path(name).stem, name)
    known = protocol_names()
    if name not in known:
        raise ValueError(f'there is no protocol {name!r}; there are {", ".join(known)}')
    return Protocol(name, config_path(f'_base_/protocols/{name}.py'))


def _put_data(cfg: Config, sets: Mapping[str, Any], what: str) -> None:
    """Put a data set into a protocol's config, in place."""

    def take(name: str) -> Any:
        if not sets.get(name):
            others = ', '.join(data_with(name))
            raise ValueError(f'{what}: the data have no {name}, as {others} have')
        return sets[name]

    if 'function' in cfg:
        cfg.merge_from_dict(dict(videos=take('videos')))
        return
    scored = take('region_set' if cfg.model.type.endswith('HierarchySegmentor') else 'val_set')
    places: dict[str, Any] = {'val_dataloader.dataset': scored, 'test_dataloader.dataset': scored}
    if 'train_dataloader' in cfg:
        places['train_dataloader.dataset'] = take('train_set')
    for name in ('val_evaluator', 'test_evaluator'):
        if 'train_dataloader' in cfg[name]:
            places[f'{name}.train_dataloader.dataset'] = take('train_set')
    if cfg.model.type.endswith('LinearSegmentor'):
        places['model.decode_head.num_classes'] = take('num_classes')
    cfg.merge_from_dict(places)


class Evaluation(NamedTuple):
    """A protocol on a data set, ready to be run with a model.

    Attributes:
        base: Name of the protocol.
        data: Name of the data set.
        cfg: Config without a model.
        changes: Settings that differ from the protocol's, by dotted names.
        unused: Names of common settings that the protocol does not have.
    """

    base: str
    data: str
    cfg: Config
    changes: dict[str, Any]
    unused: set[str]

    @property
    def trains(self) -> bool:
        """Whether MMEngine trains a head, image by image, before it scores."""
        return bool(self.cfg.get('train_dataloader'))

    @property
    def loaders(self) -> dict[str, Any]:
        """Configs of all dataloaders, by dotted names."""
        found = {name: self.cfg.get(name) for name in ('train_dataloader', *_DATALOADERS)}
        for name in _EVALUATORS:
            metric = self.cfg.get(name) or {}
            found[f'{name}.train_dataloader'] = metric.get('train_dataloader')
        return {name: loader for name, loader in found.items() if loader}


def prepare(
    protocol: Protocol,
    data: LabelledData,
    common: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    train_images: int | None = None,
    val_images: int | None = None,
) -> Evaluation:
    """Put a protocol, a data set and changed settings together.

    Args:
        protocol: Protocol, with the settings that it must have.
        data: Data set.
        common: Further settings, of which the protocol takes those it has.
        batch_size: Number of images per process, in every loader that takes several.
        train_images: Number of training images, the first of the list. Default: all.
        val_images: Number of scored images, the first of the list. Default: all.

    Raises:
        ValueError: The protocol has no such setting, or the data lack what it scores.
    """
    wanted = {**(common or {}), **protocol.settings}
    size = wanted.pop('image_size', None)
    cfg = protocol.read(data)
    changes: dict[str, Any] = {}
    unused: set[str] = set()
    if size is not None:
        if 'image_size' not in cfg:
            _refuse_or_note('image_size', protocol, cfg, unused)
        elif size != cfg.image_size:
            changes['image_size'] = size
            cfg = protocol.read(data, size)
    made = Evaluation(protocol.base, data.name, cfg, changes, unused)
    if 'function' in cfg:
        if train_images is not None or val_images is not None:
            raise ValueError(f'{protocol.base} scores whole videos, not a number of images')
        return _with_function_settings(made, protocol, wanted)
    if made.trains:
        cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    else:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        # Of a file that trained and scored; options meant for another protocol.
        cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    for name, value in wanted.items():
        path = _find(cfg, name)
        if path is None:
            _refuse_or_note(name, protocol, cfg, unused)
        else:
            _change(cfg, path, value, changes)
    for name, loader in made.loaders.items():
        if batch_size is not None and loader.batch_size > 1:  # 1: images differ in size
            _change(cfg, f'{name}.batch_size', batch_size, changes)
        option = 'train_images' if 'train_dataloader' in name else 'val_images'
        number = train_images if option == 'train_images' else val_images
        if number is not None:
            _change(cfg, f'{name}.dataset.indices', number, changes, option)
    if batch_size is not None and made.trains and 'auto_scale_lr' in cfg:
        cfg.auto_scale_lr.enable = wanted.get('auto_scale_lr.enable', True)
    return made


def _with_function_settings(
    made: Evaluation, protocol: Protocol, wanted: Mapping[str, Any]
) -> Evaluation:
    """Put changed settings into a protocol that is a function of its own."""
    settings = made.cfg.settings
    for name, value in wanted.items():
        if name not in settings:
            _refuse_or_note(name, protocol, made.cfg, made.unused)
        elif settings[name] != value:
            settings[name] = made.changes[name] = value
    return made


def _refuse_or_note(name: str, protocol: Protocol, cfg: Config, unused: set[str]) -> None:
    """Note a common setting that the protocol does not have; refuse its own."""
    if name in protocol.settings:
        raise ValueError(no_such_setting(name, {protocol.base: cfg}))
    unused.add(name)


def no_such_setting(name: str, configs: Mapping[str, Config]) -> str:
    """The sentence that names the settings there are, by protocol."""
    known = []
    for base, cfg in configs.items():
        metric = cfg.get('settings') or cfg.get('test_evaluator') or cfg.get('val_evaluator')
        names = sorted({*metric, *_parameters(metric), *cfg.keys() & {'image_size'}} - {'type'})
        known.append(f'{base} has {", ".join(names)}, and what its config has by dotted names')
    return f'there is no setting {name!r}; {"; ".join(known)}'


def _find(cfg: Config, name: str) -> str | None:
    """Dotted name of a setting that a config has or may have; None if there is none."""
    if '.' not in name:
        metric = 'test_evaluator' if cfg.get('test_evaluator') else 'val_evaluator'
        if name in cfg[metric] or name in _parameters(cfg[metric]):
            return f'{metric}.{name}'
        return name if name in cfg else None
    *way, last = name.split('.')
    here: Any = cfg
    for part in way:
        if isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, Mapping | type(cfg)) and part in here:
            here = here[part]
        else:
            return None
    if isinstance(here, list):
        return name if last.isdigit() and int(last) < len(here) else None
    known = isinstance(here, Mapping | type(cfg)) and (last in here or last in _parameters(here))
    return name if known else None


def _parameters(settings: Any) -> set[str]:
    """Names of the arguments of the class that a config is of."""
    from mmcroc.registry import DATASETS, METRICS, MODELS

    kind = settings.get('type') if isinstance(settings, Mapping) else None
    if not isinstance(kind, str):
        return set()
    with METRICS.switch_scope_and_registry('mmseg'):
        found = next((c for r in (METRICS, DATASETS, MODELS) if (c := r.get(kind))), None)
    return {
        name
        for each in getattr(found, '__mro__', ())
        if '__init__' in vars(each) and each is not object
        for name, p in inspect.signature(each.__init__).parameters.items()
        if name != 'self' and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }


def _change(
    cfg: Config, path: str, value: Any, changes: dict[str, Any], name: str | None = None
) -> None:
    """Set a setting, and note it, by a name of its own, where that changes what is measured."""
    here: Any = cfg
    for part in path.split('.'):
        here = here[int(part)] if isinstance(here, list) else here.get(part)
    if here == value:
        return
    cfg.merge_from_dict({path: value})
    if not NO_EFFECT.search(path):
        for evaluator in _EVALUATORS:
            path = path.removeprefix(f'{evaluator}.') if path.count('.') == 1 else path
        changes[name or path] = value


def data_set(data: str | LabelledData, data_root: str | os.PathLike | None = None) -> LabelledData:
    """A data set by its name, or by the path of a config file of its own.

    Args:
        data: Name, path, or a data set, which is given back.
        data_root: Folder of the data set, in place of its config's.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no such data set, or one of one's own is given a folder.
    """
    if not isinstance(data, str):
        if data_root is not None:
            raise ValueError(f'{data.name}: data_root goes with a data set of a name')
        return data
    return DataSet.named(data, data_root)
