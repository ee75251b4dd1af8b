"""Commands run as they stand in the pages, cut short, in a folder that looks like the clone."""

import os
import shlex
import sys

from tests.support.commands import ALL
from tests.support.outside import installed_package
from tests.support.paths import ROOT
from tests.support.processes import call


class Shell:
    """Runs commands of the pages one after the other.

    Args:
        folder: Where they run and write; ``tools``, ``configs`` and ``docs`` are found there.
    """

    def __init__(self, folder):
        self.folder = folder
        self.site = installed_package(folder)
        for name in ('tools', 'configs', 'docs'):
            (folder / name).symlink_to(ROOT / name)

    def __call__(self, text, *cut):
        """Run a command.

        Args:
            text: Of the command, as :class:`tests.support.commands.Command` has it.
            *cut: Arguments added at its end.

        Returns:
            Its output.
        """
        assert text in {command.text for command in ALL}, f'no page has: {text}'
        words = shlex.split(text)
        env = {'PYTHONPATH': str(self.site)}
        while '=' in words[0]:
            name, _, value = words.pop(0).partition('=')
            joined = (value, env[name]) if name == 'PYTHONPATH' else (value,)
            env[name] = os.pathsep.join(joined)
        if words[0] == 'python':
            words[0] = sys.executable
        done = call(*words, *cut, cwd=self.folder, **env)
        assert done.returncode == 0, f'{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        return done.stdout
