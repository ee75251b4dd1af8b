"""What MMEngine loads for our tools runs nothing."""

import pickle
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint

from mmcroc.engine.checkpoint_loading import run_nothing_of_checkpoints
from tests.models.backbones.test_checkpoint_file import Hostile
from tests.tools.test_train import train


@pytest.fixture(autouse=True)
def readers(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    run_nothing_of_checkpoints()


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
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint(f'{address}/hostile.pth')
    assert not trace.exists()


def test_the_training_tool_refuses_to_resume_from_code(tmp_path):
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=Hostile(trace)), path)
    run = train('croc_vit-t_scenes.py', '--work-dir', tmp_path / 'run', '--resume', path)
    assert run.returncode != 0 and 'hostile.pth is refused' in run.stderr
    assert not trace.exists()
