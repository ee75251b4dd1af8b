"""The site shows what a line that is nothing but a link leads to."""

import runpy
from types import SimpleNamespace

import pytest

from tests.support.paths import ROOT

DOCS = ROOT / 'docs'


@pytest.fixture(scope='module')
def shown():
    """What the site makes of a page, by its name below docs/."""
    hook = runpy.run_path(str(DOCS / '_extensions' / 'shown_files.py'))['on_page_markdown']

    def page(name):
        path = DOCS / name
        file = SimpleNamespace(abs_src_path=str(path))
        return hook(path.read_text(encoding='utf-8'), page=SimpleNamespace(file=file))

    return page


def test_an_example_is_a_block_of_code_with_its_name(shown):
    example = (DOCS / 'examples' / 'my_images.py').read_text(encoding='utf-8').strip()
    assert f'```python title="my_images.py"\n{example}\n```' in shown('own-images.md')


@pytest.mark.parametrize('method', ['croc', 'hsg'])
def test_the_readme_of_a_method_is_the_page_of_its_equations(shown, method):
    readme = (ROOT / 'mmcroc' / method / 'README.md').read_text(encoding='utf-8')
    assert shown(f'equations/{method}.md').strip() == readme.strip()


@pytest.mark.parametrize('path', [*(DOCS / 'api').glob('*.md')], ids=lambda path: path.stem)
def test_the_public_names_of_a_wing_are_its_reference(shown, path):
    assert f'\n::: mmcroc.{path.stem}\n    options:\n' in shown(f'api/{path.name}')


def test_other_links_stay(shown):
    assert shown('index.md') == (DOCS / 'index.md').read_text(encoding='utf-8')
