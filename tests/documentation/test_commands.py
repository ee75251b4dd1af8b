"""Every command of README.md and docs/ is registered, and says only what its tool knows."""

import ast
import inspect
import re

import pytest
from mmengine.registry import MODELS, init_default_scope

from mmcroc.config_files import read_config
from mmcroc.evaluation.protocols import data_set, prepare, protocol
from tests.support.commands import ALL, PAGES, options_of, take_apart
from tests.support.paths import ROOT
from tests.support.register import CI, COMMANDS, RUN, Needs
from tests.support.shell import Shell

UNIQUE = {command.text: command for command in ALL}
EACH = pytest.mark.parametrize('command', UNIQUE.values(), ids=list(UNIQUE))


def words_of(command):
    """Program, arguments and the extras of a requirement, as a set."""
    return set(re.split(r'[\s"\[\],]+', command)) - {''}


def ci_commands():
    """Commands of .ci/run and of what it calls, one a line, without comments."""
    scripts = [(ROOT / '.ci' / name).read_text() for name in ('run', 'smoke')]
    script = '\n'.join(scripts).replace('\\\n', ' ')
    return [line for line in script.splitlines() if not line.lstrip().startswith('#')]


def test_there_are_commands_on_all_the_pages_one_follows():
    pages = {command.page for command in ALL}
    assert {'README.md', 'docs/install.md', 'docs/first-run.md', 'docs/own-images.md'} <= pages
    assert len(UNIQUE) > 40


def test_every_command_is_registered_and_every_entry_is_a_command():
    assert set(UNIQUE) - set(COMMANDS) == set(), 'say in register.py what becomes of these'
    assert set(COMMANDS) - set(UNIQUE) == set(), 'no page has these any more'


@pytest.mark.parametrize('text', COMMANDS)
def test_an_entry_names_a_test_that_there_is(text):
    entry = COMMANDS[text]
    name = entry.cut if isinstance(entry, Needs) else entry
    if name in ('', RUN):
        return
    if name == CI:
        wanted = words_of(text)
        assert any(wanted <= words_of(line) for line in ci_commands()), f'not in .ci/run: {text}'
        return
    path, _, function = name.partition('::')
    tree = ast.parse((ROOT / path).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@EACH
def test_its_tool_and_files_are_there(command):
    assert not command.tool or (ROOT / command.tool).is_file(), command.tool
    for word in command.text.split():
        if re.match(r'(configs|tools|docs)/', word):
            assert (ROOT / word).is_file(), word


@EACH
def test_its_options_are_the_tools(command):
    if command.tool:
        assert set(command.options) <= options_of(command.tool)


@EACH
def test_its_settings_are_the_configs(command):
    """A dotted name leads through the config, or to an argument of the class it ends in."""
    if not command.cfg_options:
        return
    if command.tool.endswith('evaluate.py'):
        data = data_set(*command.value('--data'))
        made = [
            prepare(protocol(name), data, command.cfg_options)
            for name in command.value('--protocol')
        ]
        assert not set.intersection(*(one.unused for one in made))
        return
    own = (
        'configs/croc_vit-s14_folder_post-dinov2.py'  # what post_training.py takes no argument for
    )
    cfg = read_config(
        ROOT / (own if command.tool.endswith('post_training.py') else command.arguments[0])
    )
    init_default_scope('mmpretrain')
    for name in command.cfg_options:
        *way, last = name.split('.')
        here = cfg
        for part in way:
            here = here[int(part)] if part.isdigit() else here[part]
        if last not in here:
            assert last in inspect.signature(MODELS.get(here['type'])).parameters, name


@EACH
def test_its_protocols_and_data_sets_are_there(command):
    if not command.tool.endswith('evaluate.py'):
        return
    data = None if '--images' in command.options else data_set(*command.value('--data'))
    for name in filter('all'.__ne__, command.value('--protocol')):
        made = protocol(name)
        assert data is None or made.read(data)


@pytest.mark.parametrize('text', [text for text, entry in COMMANDS.items() if entry == RUN])
def test_it_runs_as_it_stands(text, tmp_path):
    assert Shell(tmp_path)(text)


@pytest.mark.parametrize(
    ('text', 'wrong'),
    [
        ('python tools/train.py configs/croc_vit-s_coco.py --work', '--work'),
        ('bash tools/dist_test.sh CONFIG MODEL 8 --no-validate', '--no-validate'),
        ('python tools/dataset_converters/kitti_step.py data --classes x', '--classes'),
    ],
)
def test_an_option_that_the_tool_does_not_know_would_be_found(text, wrong):
    command = take_apart(text, PAGES[0])
    assert set(command.options) - options_of(command.tool) == {wrong}


@pytest.mark.parametrize('text', ['pip install -e ".[onedl,absent]"', 'pytest -n 7'])
def test_a_command_that_ci_does_not_run_would_be_found(text):
    assert not any(words_of(text) <= words_of(line) for line in ci_commands())


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text()
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT / 'docs')) in navigation
