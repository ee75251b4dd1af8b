"""Each equation of a method's README names the functions that compute it, and these exist."""

import ast
import re
from typing import NamedTuple

import pytest

from tests.support.paths import ROOT

#: A README, the letter of its labels and how many equations of the method it has at least.
PAGES = {'mmcroc/croc/README.md': ('C', 24), 'mmcroc/hsg/README.md': ('H', 24)}
FORMULA = re.compile(r'^\$\$\n(.+?)\n\$\$$', re.MULTILINE | re.DOTALL)
#: `FILE`: `NAME`, `NAME`
PLACE = re.compile(r'`([\w/]+\.py)`:\s+(`[\w.]+`(?:,\s+`[\w.]+`)*)')


class Equation(NamedTuple):
    """A section of a README.

    Attributes:
        page: The README.
        label: Such as ``C1``.
        formulas: As LaTeX.
        places: (file, name) of what computes it.
    """

    page: str
    label: str
    formulas: list
    places: list


def places_of(text):
    """All (file, name) that a text names."""
    return [
        (path, name) for path, names in PLACE.findall(text) for name in re.findall(r'[\w.]+', names)
    ]


def equations_of(page):
    """The sections with a label, in their order."""
    sections = re.split(r'^#+ ', (ROOT / page).read_text(encoding='utf-8'), flags=re.MULTILINE)
    found = []
    for section in sections:
        label = re.match(r'([A-Z]\d+)\. ', section)
        if label:
            computed = section.partition('\nComputed by ')[2].partition('\n\n')[0]
            formulas = FORMULA.findall(section)
            found.append(Equation(page, label[1], formulas, places_of(computed)))
    return found


def names_defined(source):
    """Functions and classes of a file, methods as CLASS.METHOD."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (child for child in node.body if isinstance(child, ast.FunctionDef))
            names |= {f'{node.name}.{method.name}' for method in methods}
    return names


EQUATIONS = [equation for page in PAGES for equation in equations_of(page)]
NAMED = sorted({place for page in PAGES for place in places_of((ROOT / page).read_text('utf-8'))})
EACH = pytest.mark.parametrize('equation', EQUATIONS, ids=[e.label for e in EQUATIONS])


@pytest.mark.parametrize('page', PAGES)
def test_a_page_has_all_equations_in_order(page):
    letter, number = PAGES[page]
    labels = [equation.label for equation in EQUATIONS if equation.page == page]
    assert labels == [f'{letter}{i}' for i in range(1, len(labels) + 1)]
    assert len(labels) >= number


@EACH
def test_an_equation_has_a_formula_and_a_place(equation):
    assert equation.formulas
    assert equation.places


@pytest.mark.parametrize(('path', 'name'), NAMED)
def test_what_computes_it_exists(path, name):
    assert name in names_defined((ROOT / path).read_text(encoding='utf-8'))


@EACH
def test_github_shows_its_formulas_as_they_are(equation):
    """Markdown takes a backslash before punctuation away, and ``<`` for the start of a tag."""
    for formula in equation.formulas:
        assert not re.search(r'\\[^A-Za-z]|[<>]', formula)


@pytest.mark.parametrize('page', PAGES)
def test_the_site_shows_it(page):
    shown = (ROOT / 'docs' / 'equations' / f'{page.split("/")[1]}.md').read_text(encoding='utf-8')
    assert re.fullmatch(rf'\[[^]]+\]\(\.\./\.\./{page}\)\n', shown)
