"""Fixtures all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def fixtures_dir():
    """The folder of reference numbers: MMCROC_FIXTURES, or what the repository brings."""
    return Path(os.environ.get('MMCROC_FIXTURES', Path(__file__).parent / 'data'))
