"""The wings: imports go down only, and the registry knows where each class is."""

import re

import pytest

from mmcroc import registry
from tests.support.paths import ROOT
from tests.support.wings import FLOOR, imports, modules, registered, table, wing_of


def test_every_wing_has_its_floor():
    assert {wing_of(module) for module in modules()} == set(FLOOR)


def test_imports_go_down_only():
    """So there is no circle of wings either."""
    up = [
        f'{module} imports {target}'
        for module, target in imports()
        if wing_of(module) != wing_of(target) and FLOOR[wing_of(module)] <= FLOOR[wing_of(target)]
    ]
    assert not up


def test_no_module_goes_through_a_wings_front_door():
    """A module imports from where a thing is defined."""
    doors = {name for name, path in modules().items() if path.name == '__init__.py'} - {'mmcroc'}
    assert not [f'{module} imports {target}' for module, target in imports() if target in doors]


@pytest.mark.parametrize(('name', 'module', 'thing'), list(registered()))
def test_a_registered_class_is_where_the_registry_looks(name, module, thing):
    if hasattr(registry, name):  # else one of MMEngine's own, such as file backends
        assert module in getattr(registry, name)._locations, thing


def test_the_registry_looks_nowhere_in_vain():
    there = {(name, module) for name, module, _ in registered()}
    looked = {
        (name, location)
        for name, node in vars(registry).items()
        for location in getattr(node, '_locations', ())
    }
    assert looked <= there


def test_the_page_shows_the_wings_as_they_are():
    """When this fails, put what ``python -m tests.support.wings`` prints into the page."""
    assert table() in (ROOT / 'docs' / 'how-it-is-built.md').read_text(encoding='utf-8')


def test_no_test_imports_another():
    found = [
        f'{path.relative_to(ROOT)}: {line}'
        for path in (ROOT / 'tests').rglob('*.py')
        for line in path.read_text(encoding='utf-8').splitlines()
        if re.match(r'\s*from (tests\.(?!support)|\.)', line)
    ]
    assert not found
