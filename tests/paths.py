"""Where the repository's parts are."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
#: Numbers of the released implementations; any other cases of the same layout can be run.
FIXTURES = Path(os.environ.get('MMCROC_FIXTURES', Path(__file__).parent / 'data'))
#: A folder of real data sets, laid out as tests/evaluation/mini_data.py draws them: the tests that
#: can run on them do so, besides on drawn ones.
DATA = os.environ.get('MMCROC_DATA')
