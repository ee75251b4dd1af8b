"""tools/benchmarks: what is counted, computed and kept there. Times are nobody's to test."""

import importlib
import json
import sys

import pytest
from PIL import Image

from tests.support.drawn_regions import patches
from tests.support.paths import ROOT, TOOLS
from tests.support.processes import call

FOLDER = TOOLS / 'benchmarks'


@pytest.fixture
def module(monkeypatch):
    """A module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_a_step_on_two_ranks_communicates_what_the_formulas_say(tmp_path):
    path = tmp_path / 'bytes.json'
    run = call(sys.executable, FOLDER / 'communication.py', '--ranks', '2', '--json', path)
    assert run.returncode == 0, run.stderr
    figures = json.loads(path.read_text())['figures']
    for name, found in figures.items():
        assert found['counted'] == found['formula'], name
    assert all(figures[f'HSG, 2 ranks, {kind}']['counted'] for kind in
               ('all_reduce', 'all_gather', 'reduce_scatter'))  # fmt: skip
    assert figures['CrOC, 2 ranks, all_reduce']['counted'] > 1_500_000
    assert not figures['CrOC, 2 ranks, all_gather']['counted']


def test_the_tables_of_the_page_are_those_of_the_command(module):
    scaling = module('scaling')
    page = (ROOT / 'docs' / 'scaling.md').read_text()
    for name, table in scaling.tables(scaling.parse_args([]))[0].items():
        assert table in page, f'docs/scaling.md: write the table "{name}" anew'


def test_a_second_run_is_printed_beside_the_first(module, tmp_path, capsys):
    measure, path = module('measure'), tmp_path / 'new' / 'run.json'
    measure.record(path, {'ms': {'forward': 4.0, 'gone': 1.0}})
    assert not capsys.readouterr().out
    measure.record(path, {'ms': {'forward': 2.0, 'new': 9.0}})
    *_, row = capsys.readouterr().out.splitlines()
    assert row.split() == ['ms,', 'forward', '4', '2', '0.50']
    run = json.loads(path.read_text())
    assert run['figures'] == {'ms': {'forward': 2.0, 'new': 9.0}}
    assert run['machine'] and run['command'] and run['versions']['torch']


def test_nothing_is_written_where_no_file_is_named(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module('measure').record(None, {'ms': 1.0})
    assert not list(tmp_path.iterdir())


def test_region_maps_are_timed_beside_the_plain_loop_and_compared_with_it(
    module, tmp_path, monkeypatch
):
    Image.fromarray(patches(0, 60, 80)).save(tmp_path / 'a.png')
    path = tmp_path / 'run.json'
    monkeypatch.setattr('cv2.setNumThreads', lambda number: None)  # those of the tests stay
    monkeypatch.setattr(sys, 'argv', ['region_maps.py', str(tmp_path), '--json', str(path)])
    module('region_maps').main()
    figures = json.loads(path.read_text())['figures']
    assert figures['equal maps'] == 1
    assert figures['felzenszwalb, s'] > 0
    assert figures['plain loop, runs'] >= figures['runs at full size'] >= 1
