"""The README of an exported model."""

from mmcroc.export.provenance import as_strings
from mmcroc.export.source import Source

CARD = """\
---
library_name: transformers
pipeline_tag: image-feature-extraction
tags:
- mmcroc
- self-supervised-learning
- dense-features
---
# {name}

A backbone pretrained without labels, exported by mmcroc.

{architecture}.

```python
{usage}
```
{notes}
## Where it comes from

| | |
|---|---|
{provenance}
{results}"""
RESULTS = """
## Results, percent

Of the frozen features, under the protocols of mmcroc's `tools/evaluate.py`.

| protocol | data | metric | value |
|---|---|---|---|
{rows}
"""


def model_card(source: Source, name: str, usage: list[str]) -> str:
    """A model card in Markdown.

    Args:
        source: What is exported.
        name: Of the model.
        usage: Lines of Python that load it.
    """
    metadata = dict(source.metadata)
    results = metadata.pop('protocol_results', [])
    rows = [f'| {key} | {value} |' for key, value in as_strings(metadata).items()]
    return CARD.format(
        name=name,
        architecture=source.name,
        usage='\n'.join(usage),
        notes=''.join(f'\nNote: {note}.\n' for note in source.notes),
        provenance='\n'.join(rows),
        results=_results_table(results) if results else '',
    )


def _results_table(results):
    rows = [
        f'| {result["protocol"]} | {result["data"]} | {metric} | {value:.2f} |'
        for result in results
        for metric, value in result['metrics'].items()
    ]
    return RESULTS.format(rows='\n'.join(rows))
