"""Models by protocols: everything that is to be evaluated on a data set, in as few passes."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import json
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmcroc.data.image_reading import UnreadableImageError
from mmcroc.evaluation.data_sets import LabelledData
from mmcroc.evaluation.progress import log_progress
from mmcroc.evaluation.protocols import (
    Evaluation,
    Protocol,
    data_set,
    no_such_setting,
    prepare,
    protocol,
    protocol_names,
)
from mmcroc.evaluation.report import Report, device_name, peak_memory, versions
from mmcroc.features.pretrained_backbone import load_model, modules_by_name
from mmcroc.numerics.segment_memory import model_fingerprint
from mmcroc.sole_writer import sole_writer
from mmcroc.weights.checkpoint_file import split_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

Model = str | os.PathLike | nn.Module
#: Parts of a config that no number depends on.
RUNTIME = (
    'default_hooks', 'env_cfg', 'experiment_name', 'launcher', 'log_level', 'resume',
    'vis_backends', 'visualizer', 'work_dir', 'train_set', 'val_set', 'region_set',
)  # fmt: skip
#: Most processes that load data for one evaluation.
MOST_WORKERS = 8
_runs = itertools.count()


def evaluate(
    model: Model | Sequence[Model],
    protocol: str | Protocol | Sequence[str | Protocol],
    data: str | LabelledData,
    data_root: str | os.PathLike | None = None,
    work_dir: str | os.PathLike | None = None,
    *,
    batch_size: int | None = None,
    train_images: int | None = None,
    val_images: int | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
    launcher: str = 'none',
    **settings: Any,
) -> Report:
    """Evaluate frozen backbones by named protocols.

        report = mmcroc.evaluate('timm:vit_small_patch16_224.dino',
                                 ['clustering-leopart', 'linear-ridge'], 'voc', 'data/VOC2012')
        print(report.table())

    Protocols that score the same images as the same tokens share the passes over them. What
    ``work_dir/results.json`` holds already, of the same model, data and settings, is not computed
    again. A model or a protocol that fails is named in the report, and the others go on.

    Args:
        model: A name that :func:`mmcroc.features.load_model` takes (for ``nfcovering-hsg`` also
            ``'regions:FOLDER'``), any module, or several.
        protocol: A name of :func:`mmcroc.evaluation.protocol_names`, a
            :class:`~mmcroc.evaluation.Protocol` with changed settings, or several; ``'all'``: those
            that the data have labels for, but the two that train a head for hours
            (``linear-leopart``, ``linear-mmseg``).
        data: A name, such as ``'voc'``; the path of a config file like those; or
            :class:`~mmcroc.evaluation.OwnImages`.
        data_root: Folder of a data set of a name. Default: its config's.
        work_dir: Folder for ``results.json``, logs and heads. None: nothing is kept.
        batch_size: Number of images per process; also scales the learning rate of heads that are
            trained image by image.
        train_images: Number of training images, the first ones. Default: all.
        val_images: Number of scored images, the first ones. Default: all.
        num_workers: Number of processes that load data. Default: by the machine's cores.
        overwrite: Compute also what ``results.json`` holds.
        launcher: MMEngine's launcher of this process, ``'pytorch'`` under ``torchrun``.
        **settings: Settings that the protocols which have them take, as
            :meth:`mmcroc.evaluation.Protocol.changed`: ``image_size=224``, ``num_restarts=2``,
            ``**{'train_cfg.max_epochs': 5}``. Each changes the name of the protocol in the table.

    Raises:
        ValueError: A name, setting or data set that there is not, before anything is computed.
        Exception: The reason, if every single evaluation failed.
    """
    data = data_set(data, data_root)
    options = dict(batch_size=batch_size, train_images=train_images, val_images=val_images)
    made = _evaluations(protocol, data, settings, options)
    models = _by_name(model)
    modules = {name: one for name, one in models.items() if isinstance(one, nn.Module)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(modules_by_name(modules))
        if work_dir is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='mmcroc_'))
            earlier = []
        else:
            folder = os.fspath(work_dir)
            earlier = Report.load(Path(folder, 'results.json')).results
        run = _Run(made, data, Path(folder), num_workers, launcher)
        report = Report(data.name)
        for name in models:
            keys = {label: run.key(label, name, models[name]) for label in made}
            sound = [result for result in earlier if 'error' not in result and not overwrite]
            known = {result.get('key'): result for result in sound}
            there = {label: known[key] for label, key in keys.items() if key in known}
            for label, result in there.items():
                report.add(dict(result, model=name, protocol=label, reused=True))
            for results in run.all_of(name, [label for label in made if label not in there]):
                for label, (result, examples) in results.items():
                    report.add(dict(result, key=keys[label]), *examples)
                if work_dir is not None and _is_main_process():
                    # After each: a failure later on loses nothing. Nor does another evaluation
                    # that has written results there meanwhile.
                    path = Path(folder, 'results.json')
                    with sole_writer(folder, wait=True):
                        report.with_earlier(Report.load(path).results).save(path)
        report.sort(models, made)
        if run.first_error is not None and all('error' in result for result in report.results):
            raise run.first_error
    return report


def _is_main_process() -> bool:
    from mmengine.dist import is_main_process

    return is_main_process()


def _evaluations(
    names: str | Protocol | Sequence[str | Protocol],
    data: LabelledData,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Evaluation]:
    """Evaluations by the names that they have in tables."""
    if names == 'all':
        made = []
        for name in protocol_names():
            with contextlib.suppress(ValueError):  # the data have no such labels
                protocol(name).read(data)
                made.append(protocol(name))
    else:
        given = [names] if isinstance(names, str | Protocol) else names
        made = [protocol(name) for name in given]
    found = [prepare(one, data, settings, **options) for one in made]
    if names == 'all':
        found = [one for one in found if not one.trains]
    if not found:
        raise ValueError(f'no protocol was named, or none that can score {data.name}')
    for setting in settings:
        if all(setting in one.unused for one in found):
            raise ValueError(no_such_setting(setting, {one.base: one.cfg for one in found}))
    labelled: dict[str, Evaluation] = {}
    for one in found:
        stars = '*' * bool(one.changes)
        while other := labelled.get(one.base + stars):
            if other.changes == one.changes:
                break
            stars += '*'
        labelled[one.base + stars] = one
    return labelled


def _by_name(model: Model | Sequence[Model]) -> dict[str, Model]:
    """Models by their names in tables."""
    found: dict[str, Model] = {}
    for one in [model] if isinstance(model, str | os.PathLike | nn.Module) else model:
        name = type(one).__name__ if isinstance(one, nn.Module) else os.fspath(one)
        if isinstance(one, nn.Module):
            same = sum(re.sub(r' \d+$', '', other) == name for other in found)
            name += f' {same + 1}' * bool(same)
        found[name] = one
    if not found:
        raise ValueError('no model was named')
    return found


def _identity(name: str, model: Model) -> str:
    """Words that change where other weights are meant."""
    if isinstance(model, nn.Module):
        return model_fingerprint(model)
    file = split_checkpoint(name)
    named = [file[0] if file else name, name.partition('@')[2], name.partition(':')[2]]
    for path in (Path(one) for one in named if one):
        if path.exists():
            files = sorted(path.rglob('*')) if path.is_dir() else [path]
            stats = [(str(one), one.stat()) for one in files]
            return repr([name, *((one, stat.st_size, stat.st_mtime_ns) for one, stat in stats)])
    return name


class _Run:
    """Runs evaluations of one model after the other.

    Args:
        evaluations: Evaluations by their names.
        data: Data set.
        folder: Folder for logs and heads.
        num_workers: Number of processes that load data; None: by the machine's cores.
        launcher: MMEngine's launcher.
    """

    def __init__(
        self,
        evaluations: Mapping[str, Evaluation],
        data: LabelledData,
        folder: Path,
        num_workers: int | None,
        launcher: str,
    ) -> None:
        self.evaluations, self.folder, self.launcher = evaluations, folder, launcher
        self.num_workers = num_workers
        self.data_identity = data.identity()
        self.first_error: Exception | None = None

    def key(self, label: str, name: str, model: Model) -> str:
        """A fingerprint of everything that an evaluation's numbers depend on."""
        cfg = self.evaluations[label].cfg.to_dict()
        used = {key: value for key, value in cfg.items() if key not in RUNTIME}
        parts = _identity(name, model), used, self.data_identity, versions()['mmcroc']
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def all_of(self, model: str, labels: Sequence[str]) -> Iterator[dict[str, tuple]]:
        """Results and examples by label, for a model; those of one pass at a time."""
        for group in self._groups(labels):
            try:
                yield self._one_pass(model, group)
            except Exception as error:
                if os.environ.get('WORLD_SIZE', '1') != '1':
                    raise  # other ranks wait for this one
                # Metrics begin what they say with their names; else each is tried by itself.
                named = [label for label in group if str(error).startswith(f'{label}: ')]
                failed = group if len(group) == 1 else named
                for label in failed:
                    yield self._failed(model, label, error)
                rest = [label for label in group if label not in failed]
                for labels in [rest] if failed else [[label] for label in group]:
                    yield from self.all_of(model, labels)

    def _failed(self, model: str, label: str, error: Exception) -> dict[str, tuple]:
        self.first_error = self.first_error or error
        words = str(error).strip() or type(error).__name__
        result = dict(
            model=model,
            protocol=label,
            data=self.evaluations[label].data,
            error=words if isinstance(error, ValueError | OSError | UnreadableImageError) else
            f'{type(error).__name__}: {words}',
            traceback=traceback.format_exc(),
        )  # fmt: skip
        return {label: (result, ())}

    def _groups(self, labels: Sequence[str]) -> list[list[str]]:
        """Labels by passes: those that score the same images as the same tokens together."""
        found: dict[str, list[str]] = {}
        for label in labels:
            one = self.evaluations[label]
            alone = one.trains or 'function' in one.cfg
            shared = [one.cfg.get(name) for name in ('model', 'test_dataloader', 'test_cfg')]
            found.setdefault(label if alone else repr(shared), []).append(label)
        return list(found.values())

    def _one_pass(self, model: str, labels: Sequence[str]) -> dict[str, tuple]:
        """Results and examples of evaluations that share a pass."""
        began = time.perf_counter()
        one = self.evaluations[labels[0]]
        peak = peak_memory()
        found = self._call if 'function' in one.cfg else self._mmengine
        results = found(model, labels)
        common = dict(
            seconds=time.perf_counter() - began,
            peak_gib=peak(),
            device=device_name(),
            date=datetime.now().isoformat(timespec='seconds'),
            versions=versions(),
        )
        for label, (result, _) in results.items():
            made = self.evaluations[label]
            result.update(common, model=model, protocol=label, data=made.data)
            result['changes'] = made.changes
            if len(labels) > 1:
                result['shared_with'] = [other for other in labels if other != label]
        return results

    def _call(self, model: str, labels: Sequence[str]) -> dict[str, tuple]:
        """The report of a protocol that is a function of its own."""
        import importlib

        cfg = self.evaluations[labels[0]].cfg
        module, _, name = cfg.function.rpartition('.')
        function: Callable[..., dict] = getattr(importlib.import_module(module), name)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        report = function(
            load_model(model, device),
            out_dir=self._folder(labels, model),
            **cfg.videos,
            **cfg.settings,
        )
        return {labels[0]: (dict(report), ())}

    def _folder(self, labels: Sequence[str], model: str) -> Path:
        bases = [self.evaluations[label].base for label in self.evaluations]
        names = []
        for label in labels:
            place = list(self.evaluations).index(label)
            earlier = bases[:place].count(bases[place])
            names.append(bases[place] + f'-{earlier + 1}' * bool(earlier))
        return self.folder / '+'.join(names)[:80] / re.sub(r'[^\w.-]+', '_', model)

    def _config(self, model: str, labels: Sequence[str]) -> Config:
        """The config of evaluations that share a pass, with the model in it."""
        made = [self.evaluations[label] for label in labels]
        cfg = copy.deepcopy(made[0].cfg)
        if not made[0].trains:
            metrics = [copy.deepcopy(one.cfg.test_evaluator) for one in made]
            for label, metric in zip(labels, metrics, strict=True):
                metric.protocol = label
            cfg.test_evaluator = metrics
        if cfg.model.type.endswith('HierarchySegmentor'):
            cfg.model.model = model
        else:
            cfg.model.backbone.model = model
        metrics = cfg.test_evaluator or [cfg.val_evaluator]
        loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
        for loader in filter(None, [*loaders, *(m.get('train_dataloader') for m in metrics)]):
            number = self.num_workers
            if number is None:
                cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
                ranks = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
                number = min(loader.num_workers, max(0, cores // ranks - 1), MOST_WORKERS)
            loader.update(num_workers=number, persistent_workers=number > 0)
        cfg.launcher = self.launcher
        cfg.work_dir = str(self._folder(labels, model))
        cfg.experiment_name = f'evaluation_{next(_runs)}_{labels[0]}'
        cfg.visualizer.name = cfg.experiment_name  # one name is one instance, with one folder
        cfg.log_level = 'WARNING'  # the config and MMEngine's hooks are no news
        return cfg

    def _mmengine(self, model: str, labels: Sequence[str]) -> dict[str, tuple]:
        """Reports and examples of metrics, by MMEngine's loops."""
        from mmcroc.training.launch import start

        cfg = self._config(model, labels)
        with start(cfg) as runner:
            log_progress(runner)
            if cfg.get('train_dataloader'):
                _require_a_batch(runner)
                runner.train()
                loop = runner.val_loop
            else:
                runner.test()
                loop = runner.test_loop
        palette = (loop.evaluator.dataset_meta or {}).get('palette')
        return {
            label: (_result(metric.report, runner), (getattr(metric, 'examples', None), palette))
            for label, metric in zip(labels, loop.evaluator.metrics, strict=True)
        }


def _require_a_batch(runner: Runner) -> None:
    """Refuse epochs without a batch, after which a head would be scored as it began."""
    cfg, loader = runner.cfg, runner.train_loop.dataloader
    if 'max_epochs' in cfg.train_cfg and not len(loader):
        raise ValueError(
            f'{cfg.val_evaluator.protocol}: {len(loader.dataset)} training images do not fill a '
            f'batch of {cfg.train_dataloader.batch_size}: give a smaller batch_size'
        )


def _result(report: dict[str, Any], runner: Runner) -> dict[str, Any]:
    """A metric's report with the settings of the run that it is of."""
    cfg = runner.cfg
    settings = dict(report.get('settings', {}), seed=runner.seed, ranks=runner.world_size)
    backbone = dict(cfg.model.get('backbone', {}), type=None, model=None)
    settings['backbone'] = {k: v for k, v in backbone.items() if v is not None}
    if 'image_size' in cfg:
        settings['image_size'] = cfg.image_size
    result = dict(report, settings=settings)
    if not cfg.get('train_dataloader'):
        return result
    for name in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        settings[name] = cfg.to_dict()[name]
    group = runner.optim_wrapper.optimizer.param_groups[0]
    settings['optim_wrapper']['optimizer']['lr'] = group.get('initial_lr', group['lr'])
    settings['batch_size'] = cfg.train_dataloader.batch_size
    settings['num_train_images'] = len(runner.train_dataloader.dataset)
    if 'best_score' in runner.message_hub.runtime_info:
        path = runner.message_hub.get_info('best_ckpt')
        best = float(runner.message_hub.get_info('best_score'))
        result['best'] = dict(mIoU=best, epoch=int(re.search(r'(\d+)\.pth$', path)[1]))  # type: ignore[index]
    return result
