"""Passes over a data set's images: evaluations of a model that look at them together."""

from __future__ import annotations

import copy
import importlib
import itertools
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmcroc.data.image_reading import UnreadableImageError
from mmcroc.evaluation.progress import log_progress
from mmcroc.evaluation.protocols import Evaluation
from mmcroc.evaluation.report import device_name, peak_memory, versions
from mmcroc.features.pretrained_backbone import load_model

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

#: Most processes that load data for one evaluation.
MOST_WORKERS = 8
_runs = itertools.count()


class Passes:
    """Passes over the images for evaluations of one model after the other.

    Args:
        evaluations: Evaluations by their names.
        folder: Folder for logs and heads.
        num_workers: Number of processes that load data; None: by the machine's cores.
        launcher: MMEngine's launcher.
    """

    def __init__(
        self,
        evaluations: Mapping[str, Evaluation],
        folder: Path,
        num_workers: int | None,
        launcher: str,
    ) -> None:
        self.evaluations, self.folder, self.launcher = evaluations, folder, launcher
        self.num_workers = num_workers
        #: The first failure, of any model and evaluation.
        self.first_error: Exception | None = None

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
