"""Docstrings speak Sphinx's dialect in places; this turns it into Markdown for MkDocs."""

import re

import griffe

#: ":class:`~mmcroc.croc.CrOC`" -> "`CrOC`"
ROLE = re.compile(r':(?:class|func|meth|mod|attr):`(?:~[\w.]*?)?([\w.]+)`')
#: A table between lines of "====  ====".
TABLE = re.compile(r'^( *)(=+(?: +=+)+\n(?:.*\n)+?\1=+(?: +=+)+)$', re.MULTILINE)


def to_markdown(text):
    """A docstring with roles as code and tables as they are written."""
    text = ROLE.sub(r'`\1`', text)
    return TABLE.sub(lambda found: f'{found[1]}```text\n{found[0]}\n{found[1]}```', text)


class SphinxRoles(griffe.Extension):
    """Called by mkdocstrings for every object of the package."""

    def on_instance(self, *, node, obj, agent, **kwargs):
        """Change the docstring before it is parsed."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
