"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def fixtures_dir() -> Path:
    """Numbers of the released implementations: ``MMCROC_FIXTURES`` or the copies beside us."""
    return Path(os.environ.get('MMCROC_FIXTURES', Path(__file__).parent / 'data'))
