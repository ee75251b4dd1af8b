"""The tests that the page on reliability names exist."""

import re

from tests.support.paths import ROOT


def test_every_promise_names_a_test_that_there_is():
    page = (ROOT / 'docs' / 'reliability.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`(test_\w+)`', page))
    source = '\n'.join(path.read_text('utf-8') for path in (ROOT / 'tests').rglob('test_*.py'))
    there = set(re.findall(r'^def (test_\w+)', source, re.MULTILINE))
    assert len(named) > 15 and named <= there, named - there
