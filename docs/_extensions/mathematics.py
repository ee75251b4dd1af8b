"""Formulas between lines of ``$$`` become MathML, which browsers draw by themselves.

A hook of MkDocs, and not one of the usual Markdown extensions: those leave it to a script in the
reader's browser, which comes from elsewhere.
"""

import re

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

FORMULA = re.compile(r'^\$\$\n(.+?)\n\$\$$', re.MULTILINE | re.DOTALL)
#: A formula wider than the page scrolls by itself; what rises above its line is not cut off.
STYLE = 'overflow-x: auto; padding: 0.4em 0'


def to_mathml(latex):
    """A displayed formula as MathML.

    Raises:
        ValueError: There is a command in it that is not known.
    """
    mathml = convert(latex, display='block')
    unknown = re.search(r'\\\w+', mathml)
    if unknown:
        raise ValueError(f'{unknown[0]} of the formula {latex!r} is not known to latex2mathml')
    return f'<div style="{STYLE}">{mathml}</div>'


class Formulas(Preprocessor):
    """Puts each formula's MathML out of reach of the rest of Markdown."""

    def run(self, lines):
        """Lines of a page, with a placeholder for each formula."""
        stash = self.md.htmlStash.store
        text = FORMULA.sub(lambda found: stash(to_mathml(found[1])), '\n'.join(lines))
        return text.split('\n')


class Mathematics(Extension):
    """The extension of Markdown."""

    def extendMarkdown(self, md):
        """After included files (32) and blocks of code (25), before HTML (20)."""
        md.preprocessors.register(Formulas(md), 'formulas', 22)


def on_config(config):
    """Called by MkDocs before it reads the pages."""
    config.markdown_extensions.append(Mathematics())
    return config
