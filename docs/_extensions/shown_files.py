"""A line that is nothing but a link to a file: GitHub shows the link, the site what is in the file.

A hook of MkDocs. Examples become blocks of code, a method's README the page itself, and a wing's
list of public names its reference.
"""

import re
from pathlib import Path

#: ``[anything](examples/my_images.py)``, ``[anything](../../mmcroc/croc/README.md)``.
LINE = re.compile(
    r'^\[[^\]]+\]\(((?:examples/\w+|(?:\.\./)+mmcroc/[\w/]+)\.(?:pyi?|md))\)$', re.MULTILINE
)
REFERENCE = """::: {}
    options:
      show_root_heading: false
      show_root_toc_entry: false
      show_submodules: true
      heading_level: {}"""


def shown(path):
    """What the site shows of a file, as Markdown."""
    if 'mmcroc' in path.parts and path.suffix != '.md':
        wing = path.stem == '__init__'
        name = path.parent.name if wing else path.stem
        return REFERENCE.format(f'mmcroc.{name}', 2 if wing else 3)
    text = path.read_text(encoding='utf-8').strip()
    return text if path.suffix == '.md' else f'```python title="{path.name}"\n{text}\n```'


def on_page_markdown(markdown, page, **_):
    """Called by MkDocs with the text of each page."""
    folder = Path(page.file.abs_src_path).parent
    return LINE.sub(lambda found: shown((folder / found[1]).resolve()), markdown)
