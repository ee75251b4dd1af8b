"""The command ``mmcroc``: the tools, from an installed package, in any folder."""

import sys

import numpy as np
import pytest
from PIL import Image

from mmcroc.__main__ import commands, located
from tests.support.outside import installed_package, run_python
from tests.support.paths import ROOT, TOOLS

#: What the console script of setup.py does.
MMCROC = ('-c', 'from mmcroc.__main__ import main; main()')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Where an unpacked wheel is, for all tests: it is compiled once."""
    return installed_package(tmp_path_factory.mktemp('unpacked'), 'unpacked')


@pytest.fixture
def mmcroc(site, tmp_path):
    """Runs the command of the wheel in a folder of the test's own; gives the output."""
    return lambda *words: run_python([*MMCROC, *words], tmp_path, site)


def test_every_tool_is_a_command_and_so_is_the_doctor():
    wanted = {path.stem.replace('_', '-') for path in TOOLS.glob('*.py')} | {'doctor'}
    assert wanted <= set(commands())


def test_it_lists_its_commands_with_a_line_on_each(mmcroc):
    listed = mmcroc('--help').split('commands:')[1].strip().splitlines()
    assert [line.split()[0] for line in listed] == list(commands())
    assert all(len(line.split()) > 4 for line in listed)


def test_a_command_says_how_it_is_used_under_its_own_name(mmcroc):
    assert mmcroc('train', '--help').startswith('usage: mmcroc train ')


def test_a_config_that_is_not_here_is_the_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'eval/linear-leopart_voc.py'
    for word in (f'configs/{name}', f'mmcroc::{name}'):
        assert located(word).endswith(f'/configs/{name}')
    with pytest.raises(FileNotFoundError):
        located('configs/absent.py')
    (tmp_path / 'configs' / 'eval').mkdir(parents=True)
    (tmp_path / 'configs' / name).touch()
    assert located(f'configs/{name}') == f'configs/{name}'
    assert located('photos/configs/a.jpg') == 'photos/configs/a.jpg'


def test_the_demo_trains_in_any_folder_from_a_config_of_the_package(mmcroc, tmp_path):
    out = mmcroc(
        'train', 'configs/croc_vit-t_scenes.py', '--no-validate', '--cfg-options',
        'train_cfg.max_epochs=2', 'train_dataloader.dataset.num_images=4',
        'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
        'default_hooks.token_pictures=None',
    )  # fmt: skip
    assert 'Last checkpoint' in out
    assert (tmp_path / 'work_dirs' / 'croc_vit-t_scenes' / 'epoch_2.pth').is_file()


def test_worker_processes_find_the_functions_of_a_command(mmcroc, tmp_path):
    """They are started anew, and look for what a pickle names in ``__main__``."""
    (tmp_path / 'photos').mkdir()
    for name in ('a', 'b'):
        noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / 'photos' / f'{name}.png')
    options = ('--method', 'slic', '--num-workers', '2')
    assert '2 made' in mmcroc('prepare-oversegmentation', 'photos', 'regions', *options)


def test_setup_declares_the_command():
    text = (ROOT / 'setup.py').read_text(encoding='utf-8')
    assert "'mmcroc = mmcroc.__main__:main'" in text
    assert sys.modules['mmcroc.__main__'].main
