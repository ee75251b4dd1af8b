"""The wings: imports go down only, and the registry knows where each class is."""

import json
import re

import pytest

from mmcroc import registry
from mmcroc.config_files import read_config
from tests.support.paths import CONFIGS, ROOT
from tests.support.wings import FLOOR, imports, modules, registered, table, waiting_for, wing_of


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


def test_the_registry_looks_where_there_are_classes_and_nowhere_else():
    # The others are in registries of MMEngine's own, such as that of file backends.
    there = {(name, module) for name, module, _ in registered() if hasattr(registry, name)}
    looked = {
        (name, location)
        for name, node in vars(registry).items()
        for location in getattr(node, '_locations', ())
    }
    assert looked == there


@pytest.mark.parametrize('name', sorted(path.name for path in CONFIGS.glob('*.py')))
def test_pretraining_waits_for_no_package_that_it_does_not_use(name):
    """Nor does what a registry imports before it."""
    waiting = waiting_for('mmseg.models')
    assert 'mmcroc.evaluation.linear_segmentor' in waiting
    waiting = waiting | waiting_for('scipy.optimize') | waiting_for('timm')
    text = json.dumps(read_config(CONFIGS / name).to_dict(), default=str)
    places = {thing: (registry_name, module) for registry_name, module, thing in registered()}
    for thing in set(re.findall(r'"mmcroc\.(\w+)"', text)) & set(places):
        registry_name, module = places[thing]
        modules_before = getattr(registry, registry_name)._locations
        before = modules_before[: modules_before.index(module) + 1]
        assert not waiting & set(before), thing


def test_processes_that_make_region_maps_wait_for_no_torch():
    waiting = set().union(*map(waiting_for, ('torch', 'mmengine', 'mmcv')))
    assert 'mmcroc.data.unlabelled' in waiting
    needed = ('each_image', 'image_reading', 'oversegmentation', 'region_maps')
    assert not waiting & {f'mmcroc.data.{name}' for name in needed}


def test_a_name_imports_no_further_than_to_its_module_and_another_packages_none():
    places = dict(scope='mmcroc', locations=['tests.support.paths', 'mmcroc.absent'])
    patient = registry.PatientRegistry('patient', **places)
    patient.register_module('Known', module=dict)
    assert patient.get('Known') is patient.get('mmcroc.Known') is dict
    assert patient.get('mmpretrain.ResNet') is None
    with pytest.raises(ImportError, match='absent'):
        patient.get('Unknown')


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
