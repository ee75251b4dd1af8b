"""The commands of README.md and docs/, taken apart."""

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT, TOOLS

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
BLOCK = re.compile(r'^ *```bash\n(.*?)^ *```', re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r'[A-Z_]+=')
#: A script that starts a tool: how many arguments are its own, and whose the others are.
STARTERS = {
    'tools/dist_train.sh': ((0,), (1,), 'tools/train.py'),
    'tools/dist_test.sh': ((0, 1), (2,), 'tools/test.py'),
    'tools/slurm_train.sh': ((2,), (0, 1, 3), 'tools/train.py'),
    'tools/benchmarks/gpu.sh': ((), (), ''),
}


class Command(NamedTuple):
    """A command of a page.

    Attributes:
        text: As it stands there, on one line, without comments.
        page: Relative to the repository.
        tool: The Python file it runs, relative to the repository; '' for other programs.
        arguments: Those of the tool.
    """

    text: str
    page: str
    tool: str
    arguments: list

    @property
    def options(self):
        """Names of the options given."""
        return [word.partition('=')[0] for word in self.arguments if word.startswith('--')]

    @property
    def cfg_options(self):
        """``{'model.head.grid': '(4, 4)', ...}``."""
        found = {}
        if '--cfg-options' in self.arguments:
            for word in self.arguments[self.arguments.index('--cfg-options') + 1 :]:
                if word.startswith('--'):
                    break
                name, _, value = word.partition('=')
                found[name] = value
        return found

    def value(self, option):
        """The words after an option."""
        words = self.arguments[self.arguments.index(option) + 1 :]
        end = next((i for i, word in enumerate(words) if word.startswith('--')), len(words))
        return words[:end]


def commands_of(page):
    """All commands of a page."""
    found = []
    for block in BLOCK.findall(page.read_text(encoding='utf-8')):
        for line in block.replace('\\\n', ' ').splitlines():
            line = re.sub(r'\s+#.*', '', ' '.join(line.split()))
            if line and not line.startswith('#'):
                found += [take_apart(part, page) for part in line.split(' && ')]
    return found


def take_apart(text, page):
    """A command's tool and arguments."""
    words = shlex.split(text)
    while ASSIGNMENT.match(words[0]):
        words.pop(0)
    program, *words = words
    tool = ''
    if program == 'python' and words[0].endswith('.py'):
        tool, *words = words
    elif program == 'python' and words[0] == '-m':
        tool, words = words[1].replace('.', '/') + '.py', words[2:]
    elif program == 'mmcroc' and not words[0].startswith('-'):
        name, *words = words
        tool = f'mmcroc/{name}.py' if name == 'doctor' else f'tools/{name}.py'.replace('-', '_')
    elif program == 'bash':
        first, second, tool = STARTERS[words.pop(0)]
        words = [words[i] for i in first] + words[len(first + second) :]
    return Command(text, str(page.relative_to(ROOT)), tool, words)


def options_of(tool):
    """The options that a tool's parser knows, read from its source and what it takes them from.

    These are neighbours, and functions of mmcroc.command_line.
    """
    path = ROOT / tool
    nodes = list(ast.walk(ast.parse(path.read_text(encoding='utf-8'))))
    names = {'--help'}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == 'mmcroc.command_line':
            nodes += shared_by({alias.name for alias in node.names})
        if isinstance(node, ast.Import):
            for alias in node.names:
                neighbour = path.parent / f'{alias.name}.py'
                if neighbour.is_file():
                    names |= options_of(neighbour.relative_to(ROOT))
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
            names |= {
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and str(argument.value).startswith('--')
            }
    return names


def shared_by(names):
    """What stands in functions of mmcroc.command_line, and in those that they call."""
    tree = ast.parse((ROOT / 'mmcroc' / 'command_line.py').read_text(encoding='utf-8'))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    nodes = [node for name in names & set(functions) for node in ast.walk(functions[name])]
    called = {node.id for node in nodes if isinstance(node, ast.Name)} & set(functions) - names
    return nodes + shared_by(called) if called else nodes


ALL = [command for page in PAGES for command in commands_of(page)]
TOOL_FILES = {str(path.relative_to(ROOT)) for path in Path(TOOLS).rglob('*.py')}
