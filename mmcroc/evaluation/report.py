"""Reports: scores of models by protocols, with everything that they depend on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmcroc.atomic_file import atomic_file
from mmcroc.evaluation.published import PublishedFigure, published
from mmcroc.foreign_files import read_json
from mmcroc.version import __version__

PACKAGES = (
    'torch', 'numpy', 'timm', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain',
    'onedl-mmsegmentation', 'mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation',
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    found = dict(mmcroc=__version__, python=platform.python_version())
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_name() -> str:
    """Name of the GPU, or ``'cpu'``."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'


def peak_memory() -> Callable[[], dict[str, float]]:
    """Begin to watch the process's peak memory; the function called at the end gives it, GiB."""
    import torch

    status, reset = Path('/proc/self/status'), Path('/proc/self/clear_refs')
    with contextlib.suppress(OSError):
        reset.write_text('5')
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()

    def peak() -> dict[str, float]:
        found = {}
        with contextlib.suppress(OSError, TypeError):
            kib = re.search(r'VmHWM:\s+(\d+)', status.read_text())
            found['main'] = int(kib[1]) / 2**20  # type: ignore[index]
        if torch.cuda.is_available():
            found['cuda'] = torch.cuda.max_memory_allocated() / 2**30
        return found

    return peak


class Report:
    """Scores of models by protocols on a data set.

    Args:
        data: Name of the data set.
        results: Results, see below.

    Attributes:
        results: A dict for each model and protocol, ready for JSON: ``model``, ``protocol``,
            ``data``; ``metrics`` in percent, ``mIoU_per_seed``, ``iou_per_seed``, ``classes``;
            ``settings``, and ``changes``, those that are not the protocol's; ``num_images``,
            ``seconds``, ``peak_gib``, ``device``, ``versions``, ``date``; or ``error``.
    """

    def __init__(self, data: str, results: Iterable[dict[str, Any]] = ()) -> None:
        self.data = data
        self.results = list(results)
        self._examples: dict[tuple[str, str], tuple[Sequence[Mapping], Any]] = {}

    @classmethod
    def load(cls, path: str | os.PathLike) -> Report:
        """The report of a file that :meth:`save` wrote; an empty one where there is no file.

        Raises:
            ValueError: The file is something else.
        """
        if not Path(path).is_file():
            return cls('')
        try:
            results = read_json(path)['results']
            names = [tuple(one[key] for key in ('model', 'protocol', 'data')) for one in results]
            if not isinstance(results, list) or {type(name) for of in names for name in of} - {str}:
                raise TypeError('results are no list of names and scores')
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is no results.json of an evaluation: {error}') from error
        return cls(results[0]['data'] if results else '', results)

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The results that are none, with ``error``."""
        return [result for result in self.results if 'error' in result]

    def __getitem__(self, place: tuple[str, str]) -> dict[str, Any]:
        """The result of a model and a protocol, by their names in the table."""
        for result in self.results:
            if (result['model'], result['protocol']) == place:
                return result
        raise KeyError(place)

    def add(
        self,
        result: dict[str, Any],
        examples: Sequence[Mapping] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Add a result, and examples for a picture."""
        self.results.append(result)
        if examples:
            self._examples[result['model'], result['protocol']] = examples, palette

    def sort(self, models: Iterable[str], protocols: Iterable[str]) -> None:
        """Bring the results into the order of models, then of protocols."""
        models, protocols = list(models), list(protocols)
        self.results.sort(
            key=lambda one: (models.index(one['model']), protocols.index(one['protocol']))
        )

    def with_earlier(self, earlier: Iterable[dict[str, Any]]) -> Report:
        """This report and what an earlier one has besides."""

        def place(result: Mapping) -> tuple:
            return result['model'], result['protocol'], result['data']

        mine = {place(result) for result in self.results}
        return Report(
            self.data, [*(one for one in earlier if place(one) not in mine), *self.results]
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the results as JSON; the file is whole or absent."""
        with atomic_file(path) as file:
            results = [{k: v for k, v in one.items() if k != 'reused'} for one in self.results]
            content = dict(versions=versions(), results=results)
            file.write(json.dumps(content, indent=1).encode())

    def pictures(self, path: str | os.PathLike) -> bool:
        """Write a picture of the first images with their labels and predicted classes.

        Returns:
            Whether there were predictions; those of earlier runs are not kept.
        """
        from mmcroc.pictures.sheets import prediction_sheet

        if not self._examples:
            return False
        columns = {f'{m} {p}': examples for (m, p), (examples, _) in self._examples.items()}
        place, (_, palette) = next(iter(self._examples.items()))
        sheet = prediction_sheet(columns, self[place]['classes'], palette)
        with atomic_file(path) as file:
            sheet.save(file, 'PNG')
        return True

    def table(self) -> str:
        """Models by protocols: mean IoU in percent, with its spread over seeds.

        Published figures, where there are any under exactly this protocol on these data, have a
        column of their own, with the difference. Regions without classes, and videos, have a table
        of all their metrics. Below: changed settings, sources, what was computed before, what
        failed.
        """
        scored = [result for result in self.results if 'error' not in result]
        with_classes = [result for result in self.results if 'mIoU_per_seed' in result]
        failed = [one for one in self.failures if with_classes or not scored]
        without = [result for result in scored if 'mIoU_per_seed' not in result]
        parts = []
        if with_classes or failed:
            parts.append(self._miou_table([*with_classes, *failed]))
        if without:
            parts.append(self._metric_table(without))
        return '\n'.join([*parts, *self._notes()])

    def _miou_table(self, results: Sequence[dict[str, Any]]) -> str:
        """Models by protocols with classes."""
        from prettytable import PrettyTable

        columns: dict[str, None] = {}
        cells: dict[str, dict[str, str]] = {}
        for name in dict.fromkeys(one['protocol'] for one in self.results):
            of_name = [one for one in results if one['protocol'] == name]
            metrics = dict.fromkeys(metric for one in of_name for metric in _miou_metrics(one))
            for metric in metrics:
                column = f'{name} {_share(metric)}'.rstrip()
                columns[column] = None
                for result in of_name:
                    row = cells.setdefault(result['model'], {})
                    row[column] = _score(result, metric)
                    if figure := _published(result, metric):
                        columns[f'{column}, published'] = None
                        difference = result['metrics'][metric] - figure.value
                        row[f'{column}, published'] = f'{figure.value} ({difference:+.2f})'
        table = PrettyTable([f'mIoU on {self.data}', *columns], align='l')
        for model in dict.fromkeys(one['model'] for one in results):
            table.add_row([model, *(cells[model].get(column, '') for column in columns)])
        return table.get_string()

    def _metric_table(self, results: Sequence[dict[str, Any]]) -> str:
        """Models and protocols by all metrics, in percent."""
        from prettytable import PrettyTable

        names = list(dict.fromkeys(name for result in results for name in result['metrics']))
        names.sort(key='best'.__eq__)  # last
        table = PrettyTable([f'on {self.data}, %', 'protocol', *names], align='l')
        for result in results:
            cells = [f'{v:.2f}' if (v := result['metrics'].get(n)) is not None else ''
                     for n in names]  # fmt: skip
            for place, name in enumerate(names):
                if figure := _published(result, name):
                    cells[place] += f' (published {figure.value})'
            table.add_row([result['model'], result['protocol'], *cells])
        return table.get_string()

    def _notes(self) -> list[str]:
        """Lines below the tables."""
        notes: dict[str, None] = {}
        for result in self.results:
            if changes := result.get('changes'):
                said = ', '.join(f'{name}={value}' for name, value in changes.items())
                notes[f'{result["protocol"]}: not the protocol, but with {said}'] = None
        for result in self.results:
            for name in result.get('metrics', ()):
                if figure := _published(result, name):
                    notes[f'{figure.model}, {figure.protocol}: {figure.source}'] = None
        again = [f'{one["model"]} {one["protocol"]}' for one in self.results if one.get('reused')]
        if again:
            notes[f'Computed before, from results.json: {", ".join(again)}'] = None
        reasons: dict[str, list[str]] = {}
        for result in self.failures:
            place = f'{result["model"]} {result["protocol"]}'
            reasons.setdefault(result['error'], []).append(place)
        notes |= {f'Failed: {", ".join(those)}: {why}': None for why, those in reasons.items()}
        return list(notes)


def _published(result: Mapping[str, Any], metric: str = 'mIoU') -> PublishedFigure | None:
    """The figure that was published for a result, if it is one of the unchanged protocol."""
    if result.get('changes') or metric not in result.get('metrics', ()):
        return None
    return published(result['model'], result['protocol'], result['data'], metric)


def _miou_metrics(result: Mapping[str, Any]) -> list[str]:
    """Names of a result's mean IoU, and of those with a share of the training images."""
    shares = [name for name in result.get('metrics', ()) if _share(name)]
    return ['mIoU', *shares]


def _share(metric: str) -> str:
    """The share of the training images that a mean IoU's name says, such as ``1/8 sampled``."""
    found = re.fullmatch(r'mIoU_(\d+)_(\d+)(_sampled)?', metric)
    return f'{found[1]}/{found[2]}{(found[3] or "").replace("_", " ")}' if found else ''


def _score(result: Mapping[str, Any], metric: str = 'mIoU') -> str:
    """Mean and spread of a result, the best epoch beside the last; ``failed`` where it is none."""
    from mmcroc.evaluation.token_metric import mean_and_spread

    if 'error' in result:
        return 'failed'
    if metric != 'mIoU':
        value, spread = (result['metrics'].get(name) for name in (metric, f'{metric}_std'))
        return '' if value is None else f'{value:.2f}' + (f' ± {spread:.2f}' if spread else '')
    score = mean_and_spread(result['mIoU_per_seed'])
    if 'best' in result:
        score += '; best {mIoU:.2f}, epoch {epoch}'.format(**result['best'])
    return score
