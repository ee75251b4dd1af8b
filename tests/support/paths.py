"""Where the repository's parts are."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
#: Numbers of the released implementations; any other cases of the same layout can be run.
FIXTURES = Path(os.environ.get('MMCROC_FIXTURES', ROOT / 'tests' / 'fixtures'))
#: A folder of real data sets, laid out as tests/support/mini_data.py draws them: the tests that
#: can run on them do so, besides on drawn ones.
DATA = os.environ.get('MMCROC_DATA')
