"""What files may hold, and what is said of those that may not."""

import argparse
import pickle
import subprocess
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from mmcroc import optional
from mmcroc.weights.checkpoint_file import read_checkpoint
from tests.support.weight_files import Hostile

WEIGHTS = {'weight': torch.arange(20000.0)}


@pytest.mark.parametrize('new_format', [True, False])
def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path, new_format):
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    torch.save(
        dict(state_dict=WEIGHTS, meta=Hostile(trace)),
        path,
        _use_new_zipfile_serialization=new_format,
    )
    with pytest.raises(ValueError, match=r'hostile\.pth is refused: it would load \w+\.mkdir'):
        read_checkpoint(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the pickle is one indeed
    assert trace.exists()


def test_a_plain_pickle_that_would_run_code_is_refused_unrun(tmp_path):
    path, trace = tmp_path / 'hostile.bin', tmp_path / 'trace'
    path.write_bytes(pickle.dumps(dict(weight=Hostile(trace))))
    with pytest.raises(ValueError, match=r'hostile\.bin is '):
        read_checkpoint(str(path))
    assert not trace.exists()


class Evaluated:
    def __reduce__(self):
        return eval, ('1 + 1',)


class Looked:
    def __reduce__(self):
        return getattr, (HistoryBuffer, 'update')


class LookedElsewhere:
    def __reduce__(self):
        return getattr, (torch.Tensor, 'mean')


@pytest.mark.parametrize(
    'content', [Evaluated(), Looked(), LookedElsewhere(), torch.nn.Linear(2, 2)]
)
def test_functions_and_whole_modules_are_refused_by_name(tmp_path, content):
    """``getattr`` too, which MMEngine's own loader allows."""
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict=WEIGHTS, extra=content), path)
    with pytest.raises(ValueError, match=r'is refused: it would load \S*(eval|getattr|Linear), '):
        read_checkpoint(str(path))


def test_a_changed_bit_of_a_weight_is_called_damage(tmp_path):
    """torch.load itself reads it without a word."""
    path = tmp_path / 'weights.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)['weight'].count_nonzero() == 1
    with pytest.raises(ValueError, match=r'weights\.pth cannot be read: truncated or damaged'):
        read_checkpoint(str(path))


def test_a_file_without_checksums_is_read(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(str(path))[0].keys() == WEIGHTS.keys()


@pytest.mark.parametrize('new_format', [True, False])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_a_truncated_file_is_called_so(tmp_path, share, new_format):
    path = tmp_path / 'weights.pth'
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=new_format)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r'weights\.pth cannot be read: truncated or damaged \(\d'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('error', [AttributeError, ImportError])
def test_what_a_library_here_lacks_is_not_called_damage(tmp_path, monkeypatch, error):
    """Once numpy 1.26, which keeps arrays elsewhere, had users download sound files again."""
    path = tmp_path / 'weights.pth'
    torch.save(WEIGHTS, path)

    def fail(*args, **kwargs):
        raise error("'numpy._core' has no 'multiarray'")

    monkeypatch.setattr(torch, 'load', fail)
    with pytest.raises(ValueError, match=r"read safely: 'numpy\._core' has no 'multiarray'$"):
        read_checkpoint(str(path))


@pytest.mark.parametrize('share', [0.0002, 0.5, 0.99])
def test_a_truncated_safetensors_file_is_called_so(tmp_path, share):
    path = tmp_path / 'weights.safetensors'
    save_file(WEIGHTS, path)
    assert torch.equal(read_checkpoint(str(path))[0]['weight'], WEIGHTS['weight'])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r'weights\.safetensors cannot be read: truncated'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'the file is empty'),
        (b'<!doctype html><title>404</title>', 'a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'a Git LFS pointer'),
        (b'not a checkpoint', 'no checkpoint that can be read safely'),
    ],
)
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_things_in_the_place_of_weights_are_named(tmp_path, content, reason, suffix):
    path = tmp_path / f'weights.{suffix}'
    path.write_bytes(content)
    if suffix == 'safetensors' and 'safely' in reason:
        reason = 'truncated or damaged'
    with pytest.raises(ValueError, match=rf'weights\.{suffix} .*{reason}'):
        read_checkpoint(str(path))


def test_what_a_checkpoint_may_hold_besides_weights_is_read(tmp_path):
    path = tmp_path / 'weights.pth'
    content = dict(
        model=WEIGHTS,
        args=argparse.Namespace(arch='vit_small', patch_size=16),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1]))),
        best=np.float64(0.5),
        seeds=np.array([1, 2]),
        epoch=3,
    )
    torch.save(content, path)
    before = set(torch.serialization.get_safe_globals())
    found, config = read_checkpoint(str(path))
    assert set(torch.serialization.get_safe_globals()) == before  # of this file alone
    assert found['args'].patch_size == 16 and found['best'] == 0.5 and config == {}
    assert found['message_hub']['log_scalars']['loss'].current() == 2.0


@pytest.mark.parametrize('module', ['_core', 'core'])
def test_arrays_are_read_wherever_numpy_keeps_what_makes_them(tmp_path, monkeypatch, module):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(2)), scores=np.arange(3.0)), path)
    monkeypatch.setattr(np, module, ModuleType(module), raising=False)  # as numpy 1.26's _core
    assert read_checkpoint(str(path))[0]['scores'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('allowed', [[], [argparse.Namespace]])
def test_what_torch_allows_elsewhere_is_as_it_was(tmp_path, allowed):
    """Neither more nor, of what a program allows for itself, less."""
    path = tmp_path / 'weights.pth'
    torch.save(dict(args=argparse.Namespace(), best=np.float64(0.5)), path)
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)
    try:
        read_checkpoint(str(path))
        assert torch.serialization.get_safe_globals() == allowed
        with pytest.raises(pickle.UnpicklingError, match='Unsupported global'):
            torch.load(path, weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_log_histories_of_programs_without_mmcroc_are_read(tmp_path):
    """MMEngine's own pickles hold functions of their class, found by ``getattr``."""
    path, without = tmp_path / 'epoch_1.pth', tmp_path / 'without.py'
    without.write_text(
        'import sys, torch\n'
        'from mmengine.logging import HistoryBuffer\n'
        'content = dict(weight=torch.ones(2), loss=HistoryBuffer([1.0, 3.0], [1, 1]))\n'
        'torch.save(content, sys.argv[1])\n'
        'assert "mmcroc" not in sys.modules\n'
    )
    subprocess.run([sys.executable, str(without), str(path)], check=True)
    assert b'getattr' in zipfile.ZipFile(path).read('epoch_1/data.pkl')
    assert read_checkpoint(str(path))[0]['loss'].mean() == 2


def test_a_library_that_is_missing_is_named_with_what_to_install(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(f'No module named {name!r}')

    monkeypatch.setattr(optional.importlib, 'import_module', missing)
    path = tmp_path / 'weights.safetensors'
    path.touch()
    with pytest.raises(ImportError, match=r'needs safetensors.*pip install "safetensors"'):
        read_checkpoint(str(path))
