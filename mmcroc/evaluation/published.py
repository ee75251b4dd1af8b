"""Published figures, each under the protocol that it was measured by."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class PublishedFigure(NamedTuple):
    """A figure somebody published.

    Attributes:
        model: Model in words.
        protocol: Protocol; one that is none of ours has a name that is none of ours.
        data: Name of the data set.
        metric: Name of the metric; ``'mIoU_1_8'`` with an eighth of the training images.
        value: Figure, percent.
        source: Whose figure it is, and what else is known of it.
    """

    model: str
    protocol: str
    data: str
    metric: str
    value: float
    source: str


@cache
def _content() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / 'published.json').read_text(encoding='utf-8'))


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """All figures, table by table."""
    return tuple(
        PublishedFigure(
            model, table['protocol'], column['data'], column['metric'], value, table['source']
        )
        for table in _content()['tables']
        for model, values in table['rows'].items()
        for column, value in zip(table['columns'], values, strict=True)
        if value is not None
    )


def published(model: str, protocol: str, data: str, metric: str = 'mIoU') -> PublishedFigure | None:
    """The figure of a model, under exactly this protocol on these data; None if there is none.

    Args:
        model: Name that :func:`mmcroc.features.load_model` takes. Files bear no name that says what
            they are, so none fits.
        protocol: Name of the protocol.
        data: Name of the data set.
        metric: Name of the metric.
    """
    names = _content()['models']
    wanted = protocol, data, metric
    for figure in published_figures():
        if wanted == (figure.protocol, figure.data, figure.metric) and (
            model in names.get(figure.model, ())
        ):
            return figure
    return None


def published_tables() -> str:
    """All figures as Markdown, a table for each protocol and source."""
    parts = []
    for table in _content()['tables']:
        columns = table['columns']
        heads = [
            re.sub(r'_(\d+)_(\d+)$', r' \1/\2', f'{column["data"]} {column["metric"]}')
            for column in columns
        ]
        lines = [
            f'## {table["protocol"]}\n\n{table["source"]}\n',
            f'| model | {" | ".join(heads)} |',
            '|---' * (1 + len(heads)) + '|',
        ]
        for model, values in table['rows'].items():
            cells = ['' if value is None else str(value) for value in values]
            lines.append(f'| {model} | {" | ".join(cells)} |')
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts) + '\n'


if __name__ == '__main__':
    print(published_tables(), end='')
