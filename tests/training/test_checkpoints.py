"""Checkpoints are written whole, and what MMEngine loads inside a run of ours runs nothing."""

import logging
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint
from safetensors.torch import save_file

from mmcroc.training.checkpoints import (
    AtomicCheckpointHook,
    find_sound_checkpoint,
    safe_checkpoint_reading,
)
from tests.support.mini_data import make_voc
from tests.support.paths import CONFIGS, TOOLS
from tests.support.processes import call, train
from tests.support.weight_files import Hostile


@pytest.fixture(autouse=True)
def readers():
    with safe_checkpoint_reading():
        yield


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Where tmp_path is served."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    server = HTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture
def stand_in(tmp_path):
    """A runner that writes empty checkpoints, on a disk that may be full."""

    def save_checkpoint(folder, filename, *args, **kwargs):
        if runner.full:
            raise OSError('full')
        Path(folder, filename).touch()

    hub = MessageHub.get_instance(f'checkpoints {tmp_path}')
    runner = SimpleNamespace(
        work_dir=str(tmp_path), logger=logging.getLogger('checkpoints'), message_hub=hub, iter=1,
        epoch=1, save_checkpoint=save_checkpoint, full=False, train_dataloader=[],
    )  # fmt: skip
    return runner


def test_what_a_checkpoint_replaces_is_there_until_it_is_written(stand_in, tmp_path):
    hook = AtomicCheckpointHook(max_keep_ckpts=1, save_best='score', rule='greater')
    hook.before_train(stand_in)
    names = set()
    for score in (1, 2):
        stand_in.epoch += 1
        hook._save_checkpoint(stand_in)
        hook.after_val_epoch(stand_in, dict(score=score))
        before, names = names, {path.name for path in tmp_path.glob('*.pth')}
        assert len(names) == 2 and not names & before, 'the others are gone'
    stand_in.full, stand_in.epoch = True, 9
    with pytest.raises(OSError, match='full'):
        hook._save_checkpoint(stand_in)
    with pytest.raises(OSError, match='full'):
        hook.after_val_epoch(stand_in, dict(score=3))
    assert {path.name for path in tmp_path.glob('*.pth')} == names


def test_a_copied_work_dir_is_resumed_from_its_own_checkpoint(tmp_path):
    for name in ('original', 'copy'):
        (tmp_path / name).mkdir()
        torch.save({}, tmp_path / name / 'epoch_1.pth')
        (tmp_path / name / 'last_checkpoint').write_text(str(tmp_path / 'original/epoch_1.pth'))
    assert find_sound_checkpoint(str(tmp_path / 'copy')) == str(tmp_path / 'copy/epoch_1.pth')


@pytest.mark.parametrize('content', ['', '/gone/epoch_7.pth'])
def test_without_a_word_on_the_last_checkpoint_the_latest_is_taken(tmp_path, content):
    """A kill may empty the file, once a run was refused then."""
    (tmp_path / 'last_checkpoint').write_text(content)
    for name in ('epoch_1.pth', 'epoch_2.pth', 'best_score_epoch_2.pth'):
        torch.save({}, tmp_path / name)
    assert find_sound_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_2.pth')


def test_a_run_without_checkpoints_starts_from_the_beginning(tmp_path):
    assert find_sound_checkpoint(str(tmp_path)) is None


def test_weights_are_loaded_from_files_and_urls(tmp_path, address):
    want = torch.nn.Linear(3, 2)
    torch.save(dict(state_dict=want.state_dict(), meta={}), tmp_path / 'good.pth')
    for name in (str(tmp_path / 'good.pth'), f'{address}/good.pth'):
        layer = torch.nn.Linear(3, 2)
        load_checkpoint(layer, name)
        assert torch.equal(layer.weight, want.weight)


def test_code_is_refused_from_files_and_urls(tmp_path, address):
    trace = tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=Hostile(trace)), tmp_path / 'hostile.pth')
    with pytest.raises(ValueError, match=r'hostile\.pth is refused'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'hostile.pth'))
    with pytest.raises(ValueError, match=r'hostile\.pth is refused'):
        CheckpointLoader.load_checkpoint(f'{address}/hostile.pth')
    assert not trace.exists()


def test_a_config_in_it_is_not_run(tmp_path):
    """MMEngine's Runner would, when it resumes."""
    meta = dict(epoch=1, config='raise SystemExit')
    torch.save(dict(state_dict={}, meta=meta), tmp_path / 'old.pth')
    assert CheckpointLoader.load_checkpoint(str(tmp_path / 'old.pth'))['meta'] == dict(epoch=1)


@pytest.mark.parametrize('place', [None, 'cpu', 'cuda:0', torch.device('cpu'), lambda s, _: s])
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_wherever_tensors_are_wanted_they_are_read(tmp_path, monkeypatch, place, suffix):
    save = save_file if suffix == 'safetensors' else torch.save
    save(dict(weight=torch.ones(3)), tmp_path / f'good.{suffix}')
    monkeypatch.setenv('HOME', str(tmp_path))
    found = CheckpointLoader.load_checkpoint(f'~/good.{suffix}', map_location=place)
    assert torch.equal(found['weight'], torch.ones(3))


def test_the_training_tool_refuses_to_resume_from_code(tmp_path):
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=Hostile(trace)), path)
    run = train('croc_vit-t_scenes.py', '--work-dir', tmp_path / 'run', '--resume', path)
    assert run.returncode != 0 and 'hostile.pth is refused' in run.stderr
    assert not trace.exists()


def test_the_testing_tool_refuses_to_load_code(tmp_path):
    make_voc(tmp_path / 'voc')
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=Hostile(trace)), path)
    run = call(
        sys.executable, TOOLS / 'test.py', CONFIGS / 'eval/linear-leopart_voc.py', path,
        '--data-root', tmp_path / 'voc', '--work-dir', tmp_path / 'run', '--cfg-options',
        'model.backbone.model=rgb', 'model.decode_head.in_channels=5',
        'model.decode_head.channels=5', 'test_dataloader.num_workers=0',
    )  # fmt: skip
    assert run.returncode != 0 and 'hostile.pth is refused' in run.stderr
    assert not trace.exists()
