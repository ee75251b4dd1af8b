"""Safetensors files with headers that lie, or whose neighbours do: read, or refused in words."""

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from mmcroc.weights.checkpoint_file import read_checkpoint
from tests.support.bad_inputs import VALUES, damaged, read_or_refuse

SAFE = save({'a.weight': torch.ones(2, 3), 'b': torch.zeros(4, dtype=torch.int64)})


def safetensors(header, data=bytes(64), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    'data',
    [
        safetensors({'a': dict(dtype='F32', shape=[4], data_offsets=[0, 16])}, length=2**63),
        safetensors({'a': dict(dtype='F32', shape=[4], data_offsets=[0, 16])}, length=10**8),
        safetensors({'a': dict(dtype='F32', shape=[4], data_offsets=[8, 24]),
                     'b': dict(dtype='F32', shape=[4], data_offsets=[0, 16])}),
        safetensors({'a': dict(dtype='F32', shape=[4], data_offsets=[10**6, 10**6 + 16])}),
        safetensors({'a': dict(dtype='F32', shape=[4], data_offsets=[16, 0])}),
        safetensors({'a': dict(dtype='F32', shape=[2**40], data_offsets=[0, 64])}),
        safetensors({'a': dict(dtype='F32', shape=[2**32, 2**32], data_offsets=[0, 0])}),
        safetensors({'a': dict(dtype='F33', shape=[4], data_offsets=[0, 16])}),
        safetensors({'a': dict(dtype='F64', shape=[4], data_offsets=[0, 16])}),
        safetensors({'a': dict(dtype='F32', shape=[-4], data_offsets=[0, 16])}),
        safetensors({'a': 5}),
        safetensors(b'[[[['),
        safetensors(b'{"a": ' * 10**4),
        safetensors(b'\xff' * 20),
    ],
)  # fmt: skip
def test_headers_that_lie(tmp_path, data):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(data)
    assert read_or_refuse(read_checkpoint, str(path)) is None


@given(damaged(SAFE))
def test_damaged_safetensors(tmp_path, data):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(data)
    read_or_refuse(read_checkpoint, str(path))


@given(
    st.dictionaries(
        st.sampled_from(['a', 'b', '__metadata__']),
        st.fixed_dictionaries(
            dict(
                dtype=st.sampled_from(['F32', 'BF16', 'I64', 'BOOL', 'F8_E4M3', 'U64', 'X', '']),
                shape=st.lists(st.integers(-1, 2**64), max_size=3) | VALUES,
                data_offsets=st.lists(st.integers(-1, 2**64), max_size=3) | VALUES,
            )
        )
        | VALUES,
    )
)
def test_headers_of_any_content(tmp_path, header):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(safetensors(header))
    read_or_refuse(read_checkpoint, str(path))


@given(VALUES)
def test_what_stands_beside_weights_of_hugging_face(tmp_path, described):
    path = tmp_path / 'model.safetensors'
    key = 'embeddings.patch_embeddings.projection.weight'
    path.write_bytes(
        save({key: torch.ones(2, 3, 4, 4), 'encoder.layer.0.norm1.weight': torch.ones(2)})
    )
    if isinstance(described, dict):
        described = dict(described, hidden_act='gelu', num_attention_heads=0)
    (tmp_path / 'config.json').write_text(json.dumps(described))
    assert read_or_refuse(read_checkpoint, str(path)) is None
