"""The notebooks run from the first cell to the last, and are kept without results."""

import ast
import json
import sys

import pytest

from tests.support.outside import installed_package
from tests.support.paths import ROOT
from tests.support.processes import call

NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))
EACH = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path):
    """Cells of code, each as one text."""
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']


@EACH
def test_it_is_kept_without_results(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in cells)
    assert all(ast.parse(code) for code in code_of(path))


@EACH
def test_a_page_leads_to_it(path):
    pages = [page.read_text(encoding='utf-8') for page in (ROOT / 'docs').glob('*.md')]
    assert any(f'(notebooks/{path.name})' in page for page in pages)


@pytest.mark.walk
@EACH
def test_it_runs_to_its_end(path, tmp_path):
    code = '\n'.join(code_of(path))
    done = call(sys.executable, '-c', code, cwd=tmp_path,
                PYTHONPATH=str(installed_package(tmp_path)))  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_there_are_two():
    assert len(NOTEBOOKS) == 2
