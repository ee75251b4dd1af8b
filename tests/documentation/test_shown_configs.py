"""Configs shown in the pages can be read."""

import re

import pytest
from mmengine.config import Config

from mmcroc.config_files import config_names, read_config
from tests.support.commands import PAGES
from tests.support.paths import ROOT

BLOCK = re.compile(r'^```python\n(.*?)^```', re.MULTILINE | re.DOTALL)
SHOWN = [
    pytest.param(block, id=f'{page.name}-{number}')
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding='utf-8')))
    if '_base_ = ' in block
]
EXAMPLES = [
    path for path in (ROOT / 'docs' / 'examples').glob('*.py') if '_base_ = ' in path.read_text()
]


@pytest.mark.parametrize('text', SHOWN)
def test_a_config_of_a_page_can_be_read(text, tmp_path):
    (tmp_path / 'own.py').write_text(text)
    assert read_config(tmp_path / 'own.py').model.type


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_read(path):
    with config_names():
        assert Config.fromfile(path, import_custom_modules=False).model.type


def test_there_are_some():
    assert len(SHOWN) >= 4 and len(EXAMPLES) == 6
