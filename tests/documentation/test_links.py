"""Pages as GitHub shows them: links lead somewhere, pictures have texts, nothing is left raw."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FILES = [*ROOT.glob('*.md'), *(ROOT / '.github').rglob('*.md'), *(ROOT / 'docs').rglob('*.md')]
#: Text of every page, without blocks of code, by its path in the repository.
PAGES = {
    str(path.relative_to(ROOT)): re.sub(
        r'^```.*?^```', '', path.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL
    )
    for path in FILES
}
LINK = re.compile(r'\]\(([^)\s]+)\)')
LINKS = [
    (page, link) for page, text in PAGES.items() for link in LINK.findall(text)
    if '://' not in link
]  # fmt: skip
PICTURE = re.compile(r'!\[([^]]*)\]\(([^)\s]+)\)')
PICTURES = [(page, *found) for page, text in PAGES.items() for found in PICTURE.findall(text)]
#: What docs/_extensions/shown_files.py puts in place of a line: an example.
SHOWN = re.compile(r'^\[[^]]+\]\((examples/\w+\.py)\)$', re.MULTILINE)
ASSETS = ROOT / 'docs' / 'assets'
EACH = pytest.mark.parametrize('page', PAGES)


def anchor(heading):
    """As GitHub and MkDocs make it of a heading."""
    return re.sub(r'[\s-]+', '-', re.sub(r'[^\w\s-]', '', heading.lower()).strip())


@pytest.mark.parametrize(('page', 'link'), LINKS)
def test_it_leads_somewhere(page, link):
    path, _, wanted = link.partition('#')
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    if wanted and target.suffix == '.md':
        # A page that is nothing but a link shows that file.
        whole = re.fullmatch(r'\[[^]]+\]\(([^)]+)\)\n', target.read_text(encoding='utf-8'))
        text = (target.parent / whole[1] if whole else target).read_text(encoding='utf-8')
        assert wanted in map(anchor, re.findall(r'^#+ (.*)', text, re.MULTILINE))


@EACH
def test_nothing_is_left_raw(page):
    assert '--8<--' not in (ROOT / page).read_text(encoding='utf-8')
    assert not re.search(r'^::: ', PAGES[page], re.MULTILINE)


@pytest.mark.parametrize(('page', 'text', 'link'), PICTURES)
def test_a_picture_has_a_text_and_is_small(page, text, link):
    assert len(text.split()) > 5
    assert ((ROOT / page).parent / link).stat().st_size < 150_000


def test_every_picture_is_shown():
    shown = {Path(link).name for _, _, link in PICTURES}
    assert shown == {path.name for path in ASSETS.iterdir() if path.suffix in ('.png', '.svg')}


@pytest.mark.parametrize('path', [*ASSETS.glob('*.svg')], ids=lambda path: path.stem)
def test_a_figure_is_told_to_those_who_do_not_see_it_and_has_a_ground(path):
    text = path.read_text(encoding='utf-8')
    assert '<title>' in text and '<desc>' in text and 'role="img"' in text
    width, height = re.search(r'viewBox="0 0 (\d+) (\d+)"', text).groups()
    assert f'<rect width="{width}" height="{height}"' in text, 'for dark pages'


@pytest.mark.parametrize(
    ('words', 'page'),
    [
        ('DINOv2', 'post-training.md'), ('fine-tune', 'post-training.md'),
        ('my masks', 'evaluation.md'), ('feature extraction', 'extract.md'),
    ],
)  # fmt: skip
def test_the_first_page_leads_from_what_one_searches_for(words, page):
    rows = [row for row in PAGES['docs/index.md'].splitlines() if row.startswith('| ')]
    assert any(words in row and f'({page})' in row for row in rows)


def test_the_first_page_opens_with_a_picture_a_command_and_a_table():
    text = (ROOT / 'docs' / 'index.md').read_text(encoding='utf-8')
    parts = [text.index(part) for part in ('![', '```bash', '| before | after |', '## Where')]
    assert parts == sorted(parts)


def test_all_pages_of_the_documentation_are_reached_from_it_or_the_readme():
    reached = {link.partition('#')[0] for page, link in LINKS if page == 'README.md'}
    reached |= {f'docs/{link}' for page, link in LINKS if page == 'docs/index.md'}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / 'docs').glob('*.md')}
    assert pages - reached == set()


def test_every_example_is_shown_on_a_page():
    shown = {Path(link).name for text in PAGES.values() for link in SHOWN.findall(text)}
    there = {path.name for path in (ROOT / 'docs' / 'examples').glob('*.py')}
    assert shown == there - {'draw_scenes.py'}
