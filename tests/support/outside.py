"""mmcroc as users have it, and commands run outside of the repository."""

import os
import shutil
import sys

from tests.support.paths import ROOT
from tests.support.processes import call

#: What setup.py puts into the package.
TRAVELS_AS_MIM = ('configs', 'tools', 'model-index.yml')


def installed_package(folder, layout='linked'):
    """A folder for PYTHONPATH with mmcroc as it is installed, its configs inside.

    Args:
        folder: Where to make it.
        layout: ``'linked'`` as by ``pip install -e``, ``'unpacked'`` as from a wheel.
    """
    site = folder / 'site'
    mim = site / 'mmcroc' / '.mim'
    if layout == 'linked':
        mim.mkdir(parents=True)
        for part in (ROOT / 'mmcroc').iterdir():
            if part.name != '.mim':
                (mim.parent / part.name).symlink_to(part)
        for name in TRAVELS_AS_MIM:
            (mim / name).symlink_to(ROOT / name)
        return site
    leave_out = shutil.ignore_patterns('.mim', '__pycache__')
    shutil.copytree(ROOT / 'mmcroc', site / 'mmcroc', ignore=leave_out)
    mim.mkdir()
    for name in TRAVELS_AS_MIM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, mim / name)
    info = site / 'mmcroc-0.2.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcroc\nVersion: 0.2.0\n')
    (info / 'top_level.txt').write_text('mmcroc\n')
    return site


def run_python(command, cwd, *path):
    """Run Python with arguments; its output.

    Args:
        command: The arguments.
        cwd: Where.
        *path: Folders for PYTHONPATH.
    """
    done = call(sys.executable, *command, cwd=cwd, PYTHONPATH=os.pathsep.join(map(str, path)))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
