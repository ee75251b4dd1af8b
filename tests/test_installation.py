"""What an installation is found by."""

import os
import shutil
import subprocess
import sys
import zipfile

from tests.support.paths import ROOT

FILES = ('setup.py', 'pyproject.toml', 'README.md', 'model-index.yml', 'mmcroc/__init__.py',
         'mmcroc/__init__.pyi', 'mmcroc/version.py')  # fmt: skip


def python(code, folder):
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_editable_install_is_found_beside_the_clone(tmp_path):
    """Once the clone's folder, which bears the package's name, was taken for an empty package."""
    clone = tmp_path / 'mmcroc'
    for name in ('configs', 'tools', 'mmcroc'):
        (clone / name).mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(ROOT / name, clone / name)
    build = 'from setuptools.build_meta import build_editable; build_editable("..")'
    python(build, clone)
    (wheel,) = tmp_path.glob('*.whl')
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    code = (
        # Without the mmcroc that this environment has.
        'import os, site, sys; '
        'sys.path = [p for p in sys.path if not os.path.isfile(f"{p}/mmcroc/__init__.py")]; '
        'site.addsitedir("site"); import mmcroc; print(mmcroc.__file__)'
    )
    assert python(code, tmp_path).strip() == str(clone / 'mmcroc' / '__init__.py')
