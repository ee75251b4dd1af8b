"""Curves of what runs of training logged."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SCALARS = Path('vis_data') / 'scalars.json'
#: Logged beside the measures: where a record belongs.
PLACES = ('step', 'iter', 'epoch')
COLUMNS, PANEL = 3, (4.2, 2.8)  # panel: width and height, inches


@dataclass
class Run:
    """What a run logged.

    Attributes:
        name: Of the run, as it was given.
        series: By key, two arrays: iterations and values.
        epoch_length: Iterations of an epoch, None if training was not counted in epochs.
    """

    name: str
    series: dict = field(default_factory=dict)
    epoch_length: int | None = None


def read_run(path):
    """Read the log of a run, all its starts joined.

    A start that resumed an earlier one takes over from its own first record: what the earlier one
    logged from there on is dropped. Validations that were logged by epoch are put where that
    epoch ended, of which the log tells to within the logging interval.

    Args:
        path (str | Path): A work dir, one start's folder in it, or a ``scalars.json``.

    Returns:
        Run: Its series.

    Raises:
        FileNotFoundError: There is no such log.
        ValueError: A line of it is not JSON, other than a last one that is being written.
    """
    starts = [_read_records(file) for file in _find_logs(Path(path))]
    length = _epoch_length([record for records in starts for record in records])
    joined = []
    for records in starts:
        placed = [(_iteration(record, length), record) for record in records]
        first = min((iteration for iteration, _ in placed), default=math.inf)
        joined = [one for one in joined if one[0] < first] + placed
    run = Run(str(path), {}, length)
    for iteration, record in joined:
        for key, value in record.items():
            if key not in PLACES and isinstance(value, int | float):
                run.series.setdefault(key, []).append((iteration, value))
    run.series = {key: np.array(pairs, float).T for key, pairs in run.series.items()}
    return run


def _find_logs(path):
    """The files of all starts, in their order."""
    if path.is_file():
        return [path]
    found = [path / SCALARS] if (path / SCALARS).is_file() else sorted(path.glob(f'*/{SCALARS}'))
    if not found:
        raise FileNotFoundError(
            f'{path}: no {SCALARS} there nor in a folder below it. Give the work dir of a training '
            'whose visualizer has a LocalVisBackend'
        )
    return found  # folders of starts are named by their time


def _read_records(file):
    lines = file.read_text(encoding='utf-8').splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):  # the last one may just be being written
                raise ValueError(f'{file}, line {number} is not JSON: {error}') from error
    return records


def _epoch_length(records):
    """Iterations of an epoch that agree with all records; None where none names an epoch."""
    seen = [(one['epoch'], one['iter']) for one in records if 'epoch' in one and 'iter' in one]
    if not seen:
        return None
    return max(math.ceil(iteration / epoch) for epoch, iteration in seen)


def _iteration(record, epoch_length):
    """Iterations done when a record was made; validations tell their step alone."""
    if 'iter' in record:
        return record['iter']
    return record.get('step', 0) * (epoch_length or 1)


def default_keys(runs):
    """What is worth seeing of runs: all losses; of validations every mean IoU, else all there is.

    Raises:
        ValueError: Neither was logged; it lists what was.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.series))
    losses = [key for key in keys if key.startswith('loss')]
    probes = [key for key in keys if is_probe(key)]
    keys = losses + ([key for key in probes if key.endswith('/mIoU')] or probes)
    if not keys:
        raise ValueError(f'no losses and no probes were logged. {_available(runs)}')
    return keys


def is_probe(key):
    """Whether a key is a metric's: they carry their protocol's name, ``protocol/metric``."""
    return '/' in key


def plot_curves(runs, keys=None, x='iter'):
    """Plot curves: losses in rows of panels, probes in rows below; a colour is a run.

    Args:
        runs (list[Run]): Of :func:`read_run`.
        keys (Sequence[str] | None): A panel each. Default: :func:`default_keys`.
        x (str): ``'iter'`` or ``'epoch'``.

    Returns:
        matplotlib.figure.Figure: The picture, to be saved with ``savefig``.

    Raises:
        ValueError: A key that no run has, with those that there are; epochs of a run that was
            not counted in them.
    """
    # Here, not above: it takes a second, and only curves need it. Agg needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(keys or default_keys(runs)))
    unknown = [key for key in keys if not any(key in run.series for run in runs)]
    if unknown:
        raise ValueError(f'no run logged {", ".join(unknown)}. {_available(runs)}')
    if x == 'epoch':
        uncounted = [run.name for run in runs if run.epoch_length is None]
        if uncounted:
            raise ValueError(f'{", ".join(uncounted)} counted no epochs: take x = iter')
    groups = [[key for key in keys if is_probe(key) == probe] for probe in (False, True)]
    rows = [keys[i : i + COLUMNS] for keys in groups for i in range(0, len(keys), COLUMNS)]
    columns = max(map(len, rows))
    figure = Figure(figsize=(columns * PANEL[0], len(rows) * PANEL[1]), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        for axis, key in zip(axes, row, strict=False):
            _plot(axis, runs, key, x)
        for axis in axes[len(row) :]:
            axis.set_visible(False)
    if len(runs) > 1:
        handles = list(grid[0][0].lines)
        figure.legend(handles, [run.name for run in runs], loc='outside upper center')
    return figure


def _plot(axis, runs, key, x):
    for run in runs:
        places, values = run.series.get(key, ([], []))
        if x == 'epoch':
            places = np.asarray(places) / run.epoch_length
        # Without a mark, a single value would not show.
        marked = is_probe(key) or len(values) == 1
        axis.plot(places, values, marker='o' if marked else None, markersize=4)
    axis.set_title(key, fontsize=10)
    axis.set_xlabel('epoch' if x == 'epoch' else 'iteration', fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def _available(runs):
    keys = dict.fromkeys(key for run in runs for key in run.series)
    return f'There are: {", ".join(keys) or "none"}'
