"""Models by protocols: everything that is to be evaluated on a data set, in as few passes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mmcroc.evaluation.data_sets import LabelledData
from mmcroc.evaluation.passes import Passes
from mmcroc.evaluation.protocols import (
    Evaluation,
    Protocol,
    data_set,
    no_such_setting,
    prepare,
    protocol,
    protocol_names,
)
from mmcroc.evaluation.report import Report, versions
from mmcroc.features.pretrained_backbone import modules_by_name
from mmcroc.numerics.segment_memory import model_fingerprint
from mmcroc.sole_writer import sole_writer
from mmcroc.weights.checkpoint_file import split_checkpoint

Model = str | os.PathLike | nn.Module
#: Parts of a config that no number depends on.
RUNTIME = (
    'default_hooks', 'env_cfg', 'experiment_name', 'launcher', 'log_level', 'resume',
    'vis_backends', 'visualizer', 'work_dir', 'train_set', 'val_set', 'region_set',
)  # fmt: skip


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
        passes = Passes(made, Path(folder), num_workers, launcher)
        identity = data.identity()
        report = Report(data.name)
        for name in models:
            keys = {label: _key(made[label], name, models[name], identity) for label in made}
            sound = [result for result in earlier if 'error' not in result and not overwrite]
            known = {result.get('key'): result for result in sound}
            there = {label: known[key] for label, key in keys.items() if key in known}
            for label, result in there.items():
                report.add(dict(result, model=name, protocol=label, reused=True))
            for results in passes.all_of(name, [label for label in made if label not in there]):
                for label, (result, examples) in results.items():
                    report.add(dict(result, key=keys[label]), *examples)
                if work_dir is not None and _is_main_process():
                    # After each: a failure later on loses nothing. Nor does another evaluation
                    # that has written results there meanwhile.
                    path = Path(folder, 'results.json')
                    with sole_writer(folder, wait=True):
                        report.with_earlier(Report.load(path).results).save(path)
        report.sort(models, made)
        if passes.first_error is not None and all('error' in result for result in report.results):
            raise passes.first_error
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


def _key(evaluation: Evaluation, name: str, model: Model, data_identity: Any) -> str:
    """A fingerprint of everything that an evaluation's numbers depend on."""
    cfg = evaluation.cfg.to_dict()
    used = {key: value for key, value in cfg.items() if key not in RUNTIME}
    parts = _identity(name, model), used, data_identity, versions()['mmcroc']
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
