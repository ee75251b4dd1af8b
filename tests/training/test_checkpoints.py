"""Checkpoints are written whole, and what MMEngine loads inside a run of ours runs nothing."""

import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint
from safetensors.torch import save_file

from mmcroc.training.checkpoints import safe_checkpoint_reading
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
