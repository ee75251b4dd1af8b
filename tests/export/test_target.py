"""Targets are whole or absent, and nothing is lost unasked."""

import os

import pytest

from mmcroc.atomic_file import atomic_folder
from mmcroc.export import export as module
from mmcroc.export.export import export_backbone


@pytest.mark.parametrize(
    ('format', 'name', 'blocked'),
    [
        ('mmpretrain', 'out.pth', 'out.pth'),
        ('mmseg', 'out.pth', 'out.py'),
        ('safetensors', 'out.safetensors', 'out.safetensors'),
        ('huggingface', 'out', 'out'),
    ],
)
def test_what_is_there_is_replaced_by_force_only(croc, format, name, blocked, tmp_path):
    there = tmp_path / blocked
    if format == 'huggingface':
        there.mkdir()
        (there / 'mine.txt').write_text('mine')
    else:
        there.write_text('mine')
    with pytest.raises(FileExistsError, match='--force'):
        export_backbone(croc.path, format, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == [blocked]
    export_backbone(croc.path, format, tmp_path / name, force=True)
    assert not (there / 'mine.txt').exists()
    assert there.is_dir() or there.read_bytes() != b'mine'
    assert not [path for path in os.listdir(tmp_path) if path.startswith('.')]


@pytest.mark.parametrize(
    ('format', 'name'),
    [('mmpretrain', 'out.onnx'), ('timm', 'out'), ('huggingface', 'out.pth'), ('onnx', 'o.pth')],
)
def test_names_that_do_not_suit_the_format_are_refused(croc, format, name, tmp_path):
    with pytest.raises(ValueError, match=f'{name}: this format writes'):
        export_backbone(croc.path, format, tmp_path / name)
    with pytest.raises(ValueError, match='format must be one of'):
        export_backbone(croc.path, 'caffe', tmp_path / name)


def test_a_file_is_not_replaced_by_a_folder(croc, tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(ValueError, match='is a file'):
        export_backbone(croc.path, 'huggingface', tmp_path / 'out', force=True)
    (tmp_path / 'out.pth').mkdir()
    with pytest.raises(ValueError, match='is a folder'):
        export_backbone(croc.path, 'mmpretrain', tmp_path / 'out.pth', force=True)


def test_a_failed_folder_leaves_what_was_there(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/mine.txt').write_text('mine')
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / 'out') as folder:
        (folder / 'half').write_text('')
        raise RuntimeError
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')] == [
        'out', 'out/mine.txt'
    ]  # fmt: skip


def test_targets_are_checked_before_weights_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'read_source', None)
    (tmp_path / 'out.pth').write_text('')
    with pytest.raises(FileExistsError):
        export_backbone('missing.pth', 'mmpretrain', tmp_path / 'out.pth')
