"""README.md's links into the repository lead somewhere. (MkDocs checks those of docs/.)"""

import re

import pytest

from tests.support.paths import ROOT

README = (ROOT / 'README.md').read_text(encoding='utf-8')
LINKS = [link for link in re.findall(r'\]\(([^)\s]+)\)', README) if '://' not in link]


def anchor(heading):
    """As GitHub and MkDocs make it of a heading."""
    return re.sub(r'[\s-]+', '-', re.sub(r'[^\w\s-]', '', heading.lower()).strip())


@pytest.mark.parametrize('link', LINKS)
def test_it_leads_somewhere(link):
    path, _, wanted = link.partition('#')
    assert (ROOT / path).exists()
    if wanted:
        headings = re.findall(r'^#+ (.*)', (ROOT / path).read_text(encoding='utf-8'), re.MULTILINE)
        assert wanted in map(anchor, headings)


def test_all_pages_of_the_documentation_are_reached_from_it():
    reached = {link.partition('#')[0] for link in LINKS}
    index = (ROOT / 'docs' / 'index.md').read_text(encoding='utf-8')
    reached |= {f'docs/{link}' for link in re.findall(r'\]\(([^)\s#]+)', index)}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / 'docs').glob('*.md')}
    assert pages - reached == set()


def test_every_example_is_shown_on_a_page():
    pages = [page.read_text(encoding='utf-8') for page in (ROOT / 'docs').glob('*.md')]
    shown = set(re.findall(r'^--8<-- "([\w.]+)"$', '\n'.join(pages), re.MULTILINE))
    there = {path.name for path in (ROOT / 'docs' / 'examples').glob('*.py')}
    assert shown == there - {'draw_scenes.py'}
