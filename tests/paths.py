"""Where the repository's parts are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
