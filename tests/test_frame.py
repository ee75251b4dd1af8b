"""What surrounds the code says the same everywhere: versions, Pythons, scripts."""

import os
import re

import pytest

from mmcroc import doctor
from mmcroc.version import __version__
from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
SCRIPTS = sorted((ROOT / '.ci').iterdir())


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def test_changelog_and_citation_are_of_this_version():
    newest = re.search(r'^## (\S+)', read('CHANGELOG.md'), re.MULTILINE)[1]
    assert newest == __version__
    assert f'\nversion: {__version__}\n' in read('CITATION.cff')


def test_the_citation_names_both_papers_of_the_methods():
    citation = read('CITATION.cff')
    for page in ('mmcroc/croc/README.md', 'mmcroc/hsg/README.md'):
        assert re.search(r'arxiv\.org/abs/[\d.]+\d', read(page))[0] in citation


def test_the_pythons_promised_are_the_pythons_tried():
    promised = re.findall(r'Python :: (3\.\d+)', read('setup.py'))
    assert [tuple(map(int, promised[end].split('.'))) for end in (0, -1)] == [
        doctor.LOWEST_PYTHON,
        doctor.HIGHEST_PYTHON,
    ]
    assert f'for python in {" ".join(promised)};' in read('.ci/matrix')
    assert f'python: {promised}' in read('.github/workflows/matrix.yml')


@pytest.mark.parametrize('path', [*WORKFLOWS, *SCRIPTS], ids=lambda path: path.name)
def test_what_it_calls_is_there_and_can_be_run(path):
    for name in re.findall(r'(?<![\w/])\.ci/(\w+)', path.read_text(encoding='utf-8')):
        assert os.access(ROOT / '.ci' / name, os.X_OK), name


@pytest.mark.parametrize('script', ['run', 'matrix', 'coverage'])
def test_a_workflow_calls_it(script):
    assert any(f'run: .ci/{script}' in path.read_text(encoding='utf-8') for path in WORKFLOWS)
