"""Messages that the troubleshooting page quotes as mmcroc's are in its source."""

import ast
import functools
import re

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
#: First words of messages that are other packages'.
OTHERS = (
    'No module', 'Could not import',
    'operator torchvision', 'A module that', 'libGL', 'mmengine does not',
    'mmsegmentation is not', '… is not in the', 'Duplicate key', '… in child config',
    'default_collate()', 'DataLoader worker', 'CUDA out of', 'Weights only', 'The server socket',
    '``AmpOptim', '… is not in the pretrained',
)  # fmt: skip


def quoted():
    """The first quotation of every row of a table of messages."""
    for row in PAGE.splitlines():
        found = re.match(r'\| `([^`]+)`', row)
        if found and not found[1].startswith(OTHERS):
            yield found[1]


@functools.cache
def messages():
    """All strings of the source, with … where something is filled in."""
    found = set()
    for folder in ('mmcroc', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            if '.mim' in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, 'value', '…') for part in node.values]
                    found.add(''.join(p if isinstance(p, str) else '…' for p in parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(re.sub(r'\{\w+\}', '…', node.value))
    return found


@pytest.mark.parametrize('message', list(quoted()))
def test_it_is_in_the_source(message):
    pieces = [re.escape(piece.strip()) for piece in message.split('…') if piece.strip()]
    pattern = re.compile('.*?'.join(pieces), re.DOTALL)
    assert any(pattern.search(text) for text in messages())


def test_there_are_many():
    assert len(list(quoted())) > 25
