"""Data sets to evaluate on: drawn ones, and real ones where ``MMCROC_DATA`` says there are any."""

from pathlib import Path

import pytest

from tests.support.mini_data import draw_downloads, prepare
from tests.support.paths import DATA


@pytest.fixture(scope='session')
def drawn_downloads(tmp_path_factory):
    """The data sets as downloaded, drawn."""
    root = tmp_path_factory.mktemp('downloads')
    draw_downloads(root)
    return root


@pytest.fixture(scope='session')
def drawn_roots(drawn_downloads, tmp_path_factory):
    """Each drawn data set's data_root."""
    return prepare(drawn_downloads, tmp_path_factory.mktemp('drawn'))


@pytest.fixture(scope='session', params=['drawn', 'real'] if DATA else ['drawn'])
def data(request, tmp_path_factory):
    """The folder of downloads, and each data set's data_root: drawn, then real."""
    if request.param == 'drawn':
        return tuple(map(request.getfixturevalue, ('drawn_downloads', 'drawn_roots')))
    return Path(DATA), prepare(Path(DATA).resolve(), tmp_path_factory.mktemp('real'))
