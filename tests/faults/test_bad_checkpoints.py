"""Checkpoints that are hostile, lie or are damaged: read, or refused in words, and nothing run."""

import copyreg
import io
import os
import pickle
import struct
import tarfile
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcroc.features.checkpoint_backbone import find_backbone
from mmcroc.features.pretrained_backbone import load_model
from mmcroc.hsg.frozen_backbone import FrozenBackbone
from mmcroc.inference.pictures import training_views
from mmcroc.weights import pickle_check
from mmcroc.weights.checkpoint_file import read_checkpoint
from tests.support.bad_inputs import (
    calls,
    damaged,
    legacy,
    read_or_refuse,
    zipped,
)

OPERATIONS = list(calls('trace'))
WEIGHTS = {'backbone.conv1.weight': torch.arange(6.0).reshape(2, 3), 'meta': {}}
VIT = dict(type='mmpretrain.VisionTransformer', arch='deit-small', img_size=32, patch_size=16)


def saved(content, **options):
    """Bytes of torch.save."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


NEW, OLD = saved(WEIGHTS), saved(WEIGHTS, _use_new_zipfile_serialization=False)


class Trusting(pickle.Unpickler):
    """A reader that does whatever a pickle says."""

    persistent_load = staticmethod(os.mkdir)


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('container', ['plain', 'legacy', 'zip', 'tar'])
def test_no_operation_of_a_pickle_calls_anything(tmp_path, operation, container):
    path, trace = tmp_path / 'hostile.pth', tmp_path / 'trace'
    pickled = calls(trace)[operation]
    if container == 'tar':
        with tarfile.open(path, 'w') as file:
            for name in ('storages', 'tensors', 'pickle'):
                member = tarfile.TarInfo(name)
                member.size = len(pickled)
                file.addfile(member, io.BytesIO(pickled))
    elif container == 'zip':
        zipped(pickled, path)
    else:
        path.write_bytes(pickled if container == 'plain' else legacy(pickled))
    assert read_or_refuse(read_checkpoint, str(path)) is None
    assert not trace.exists()


@pytest.mark.parametrize('operation', [name for name in OPERATIONS if name != 'setstate'])
def test_these_pickles_are_hostile_indeed(tmp_path, operation):
    copyreg.add_extension('os', 'mkdir', 1)
    try:
        # What comes after the call does not matter.
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(copyreg._inverted_registry, 1, ('os', 'mkdir'))
            try:
                Trusting(io.BytesIO(calls(tmp_path / 'trace')[operation])).load()
            except (TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
                assert (tmp_path / 'trace').exists(), error
    finally:
        copyreg.remove_extension('os', 'mkdir', 1)
    assert (tmp_path / 'trace').exists()


def config(backbone):
    return f"model = dict(type='mmpretrain.ImageClassifier', backbone={backbone!r})"


COMMAND = 'touch trace'
HOSTILE_CONFIGS = [
    *(
        config(dict(type=kind, **arguments))
        for kind, arguments in [
            ('os.system', dict(command=COMMAND)),
            ('mmpretrain.os.system', dict(command=COMMAND)),
            ('mmengine.subprocess.check_call', dict(args=COMMAND, shell=True)),
            ('subprocess.Popen', dict(args=COMMAND, shell=True)),
            ('mmengine.fileio.io.os.system', dict(command=COMMAND)),
            ('mmcroc.os.system', dict(command=COMMAND)),
            ('written', {}),
            ('mmpretrain.written', {}),
            ('written.registry', {}),
            ('mmpretrain.AutoModelForCausalLM', dict(name_or_path='here', trust_remote_code=True)),
            ('mmpretrain.HuggingFaceClassifier', dict(model_name='x', trust_remote_code=True)),
        ]
    ),
    config(dict(VIT, norm_cfg=dict(type='os.system', command=COMMAND))),
    config(dict(VIT, norm_cfg=dict(type='written'))),
    config(dict(VIT, type='VisionTransformer', _scope_='written')),
    "model = dict(type='os.system', command='touch trace')",
    "model = dict(type='written.CrOC')",
    "model = dict(type='mmcroc.HSG', backbone=dict(type='os.system', command='touch trace'))",
]


@pytest.mark.parametrize('text', HOSTILE_CONFIGS)
def test_a_config_in_a_checkpoint_calls_and_imports_nothing(tmp_path, monkeypatch, text):
    """MMEngine by itself takes a type for the path of anything, imports it and calls it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'written').mkdir()
    (tmp_path / 'written' / '__init__.py').write_text('import os; os.system("touch trace")')
    (tmp_path / 'written' / 'registry.py').touch()
    path = tmp_path / 'hostile.pth'
    torch.save(dict(meta=dict(cfg=text), state_dict=WEIGHTS), path)
    assert read_or_refuse(load_model, str(path)) is None
    assert not (tmp_path / 'trace').exists()


def test_a_config_in_a_checkpoint_lends_no_transforms_that_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = dict(type='os.system', command=COMMAND)
    views = dict(type='mmcroc.TwoViews', transforms=[hostile], colour=[hostile], size=32)
    text = f'train_dataloader = dict(dataset=dict(pipeline=[{views!r}]))'
    torch.save(dict(meta=dict(cfg=text), state_dict=WEIGHTS), 'hostile.pth')
    with pytest.raises(ValueError):
        training_views(None, 'hostile.pth')
    assert not (tmp_path / 'trace').exists()


def test_a_frozen_backbone_that_a_file_describes_calls_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='a name'):
        FrozenBackbone('a name', dict(type='os.system', command=COMMAND))
    assert not (tmp_path / 'trace').exists()


def test_types_of_packages_that_models_come_from_are_built_by_their_paths():
    kind = 'mmpretrain.models.backbones.vision_transformer.VisionTransformer'
    described = dict(model=dict(type='ImageClassifier', backbone=dict(VIT, type=kind)))
    found = find_backbone({'backbone.cls_token': torch.zeros(1)}, described)
    with pytest.raises(ValueError, match='holds another architecture than this VisionTransf'):
        found.build('a file')


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize(
    'content',
    [
        pytest.param(torch.zeros(1).expand(2**20, 2**20), id='one value in any shape'),
        pytest.param(torch.empty(2**20, 2**20, device='meta'), id='no values'),
        pytest.param(
            torch.sparse_coo_tensor(torch.zeros(2, 1).long(), torch.ones(1), (2**20, 2**20)),
            id='sparse',
        ),
    ],
)
def test_a_tensor_is_not_larger_than_its_file(tmp_path, form, content):
    path = tmp_path / 'weights.pth'
    path.write_bytes(saved(dict(a=content), _use_new_zipfile_serialization=form == 'zip'))
    assert read_or_refuse(read_checkpoint, str(path)) is None


def test_a_pickle_reserves_no_memory_by_a_number(tmp_path):
    path = tmp_path / 'weights.pth'
    number = b'cbuiltins\nbytearray\nJ' + struct.pack('<i', 800 << 20)
    path.write_bytes(legacy(b'\x80\x02' + number + b'\x85R.'))
    assert read_or_refuse(read_checkpoint, str(path)) is None


@pytest.mark.parametrize('form', ['wide', 'deep'])
def test_a_pickle_of_tuples_within_tuples_is_refused(tmp_path, form):
    """As a dict's key it would be hashed for ever, or beyond the stack's end."""
    path = tmp_path / 'weights.pth'
    if form == 'deep':
        nest = b')' + b'\x85' * 1_000_000
    else:
        nest = b')' + b''.join(b'q%ch%c\x86' % (i, i) for i in range(100))
    path.write_bytes(legacy(b'\x80\x02}' + nest + b'Ns.'))
    assert read_or_refuse(read_checkpoint, str(path)) is None


def test_compressed_and_overlapping_archives_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    zipped(pickle.dumps({}, 2), path, compression=zipfile.ZIP_DEFLATED, bomb=bytes(4 << 20))
    assert path.stat().st_size < 1 << 20
    assert read_or_refuse(read_checkpoint, str(path)) is None
    zipped(pickle.dumps({}, 2), path)
    data = path.read_bytes()
    at = data.rindex(b'PK\x01\x02')  # a member's entry in the directory: its two sizes
    path.write_bytes(data[: at + 20] + struct.pack('<II', 900 << 20, 900 << 20) + data[at + 28 :])
    assert read_or_refuse(read_checkpoint, str(path)) is None


def test_programs_are_refused_before_torch_looks_at_them(tmp_path, monkeypatch):
    """Of torch older than 2.6 ``weights_only`` runs TorchScript and unpacks tar files."""
    monkeypatch.setattr(torch, 'load', lambda *_, **__: pytest.fail('torch.load was called'))
    path = tmp_path / 'weights.pth'
    zipped(pickle.dumps({}, 2), path, **{'constants.pkl': pickle.dumps((), 2)})
    with pytest.raises(ValueError, match='TorchScript'):
        read_checkpoint(str(path))
    with tarfile.open(path, 'w') as file:
        file.addfile(tarfile.TarInfo('storages'))
    with pytest.raises(ValueError, match='no checkpoint'):
        read_checkpoint(str(path))


@given(damaged(NEW, OLD, NEW + OLD, legacy(pickle.dumps({'a': (1, 2)}, 2))))
def test_damaged_pickles(tmp_path, data):
    path = tmp_path / 'weights.pth'
    path.write_bytes(data)
    read_or_refuse(read_checkpoint, str(path))


@given(
    st.lists(
        st.one_of(
            st.sampled_from([bytes([code]) for code in range(256)]),
            st.sampled_from([
                b'h\x00', b'q\x00', b'J\xff\xff\xff\x7f', b'X\x01\0\0\0a', b'K\x02', b'M\x00\x01',
                b'cos\nmkdir\n', b'cbuiltins\ngetattr\n', b'ctorch\nTensor\n',
                b'ctorch\nFloatStorage\n', b'ctorch._utils\n_rebuild_tensor_v2\n',
                b'ccollections\nOrderedDict\n', b'ccollections\nCounter\n', b'cnumpy\nndarray\n',
                b'ctorch._utils\n_rebuild_meta_tensor_no_storage\n', b'ctorch\nSize\n',
                b'cnumpy\ndtype\n', b'cargparse\nNamespace\n', b'c_codecs\nencode\n',
                b'cmmengine.logging.history_buffer\nHistoryBuffer\n', b'X\x02\0\0\0O8',
                b'cnumpy._core.multiarray\n_reconstruct\n', b'X\x07\0\0\0storage',
                b'cnumpy._core.multiarray\nscalar\n', b'ctorch.nn.parameter\nParameter\n',
            ]),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_pickles_of_any_operations(tmp_path, operations):
    path = tmp_path / 'weights.pth'
    path.write_bytes(legacy(b'\x80\x02' + b''.join(operations) + b'.'))
    read_or_refuse(read_checkpoint, str(path))
    zipped(b'\x80\x02}' + b''.join(operations) + b'.', path)
    read_or_refuse(read_checkpoint, str(path))


SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=5)
    | st.sampled_from(['BN', 'LN', 'mmpretrain.ResNet', 'deit-small', 'os.system', 'this']),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(['type', 'depth', 'arch', 'img_size', 'norm_cfg']), inner),
    max_leaves=8,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        dict(model=SETTINGS),
        optional=dict(default_scope=SETTINGS, data_preprocessor=SETTINGS),
    )
    | st.fixed_dictionaries(
        dict(model=st.fixed_dictionaries(dict(type=SETTINGS, backbone=SETTINGS)))
    )
    | st.fixed_dictionaries(
        dict(
            model=st.fixed_dictionaries(
                dict(
                    type=st.sampled_from(['mmcroc.HSG', 'mmcroc.CrOC', 'mmseg.EncoderDecoder']),
                    backbone=st.dictionaries(
                        st.sampled_from(['depth', 'arch', 'img_size', 'patch_size', 'norm_cfg']),
                        SETTINGS,
                    ).map(lambda cfg: dict(cfg, type='mmpretrain.VisionTransformer')),
                )
            )
        )
    ),
)
def test_configs_of_any_content(tmp_path, described):
    path = tmp_path / 'weights.pth'
    text = '\n'.join(f'{name} = {value!r}' for name, value in described.items())
    torch.save(dict(meta=dict(cfg=text), state_dict=WEIGHTS), path)
    read_or_refuse(load_model, str(path))


@pytest.mark.parametrize(
    'text',
    [
        'model = {[]: 1}', 'model = {{}}', 'model = dict(**x)', 'model = 5', 'model = "x"',
        "model = dict(type='CrOC', backbone=5)", "model = dict(type=5)", 'default_scope = 5',
        "model = dict(type='mmpretrain.X', backbone=dict(depth=1))", 'model = ' + '[' * 10**4,
        'model = ' + '-' * 10**5 + '1', 'model = ' + '(' * 150 + ')' * 150, '\0', '\ud800',
        'model = ' + '1+' * 10**5 + '1', "model = dict(type='mmcroc.HSG')",
    ],
)  # fmt: skip
def test_texts_that_are_no_config(tmp_path, text):
    path = tmp_path / 'weights.pth'
    torch.save(dict(meta=dict(cfg=text), state_dict=WEIGHTS), path)
    assert read_or_refuse(load_model, str(path)) is None


KEYS = {
    'timm': ['patch_embed.proj.weight', 'cls_token', 'pos_embed', 'blocks.0.norm1.weight',
             'blocks.0.mlp.fc1.weight', 'blocks.0.attn.qkv.weight', 'norm.weight'],
    'dinov3': ['patch_embed.proj.weight', 'storage_tokens', 'reg_token', 'blocks.0.gamma_1',
               'blocks.0.norm1.weight', 'blocks.0.mlp.fc2.weight', 'blocks.0.attn.qkv.weight'],
    'mm': ['patch_embed.projection.weight', 'cls_token', 'pos_embed', 'layers.0.ln1.weight',
           'layers.0.ffn.layers.0.0.weight', 'layers.0.attn.qkv.weight', 'ln1.weight'],
    'hf': ['embeddings.patch_embeddings.projection.weight', 'encoder.layer.0.norm1.weight',
           'embeddings.cls_token', 'embeddings.position_embeddings'],
    'resnet': ['conv1.weight', 'bn1.weight', 'layer1.0.conv1.weight', 'layer2.0.conv1.weight',
               'conv1.0.weight', 'stem.0.conv.weight', 'fc.weight', 'layer1.0.downsample.0.weight'],
    'hsg': ['neck.projection.0.conv.weight', 'backbone.conv1.weight'],
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 8), max_size=4)


@st.composite
def states(draw):
    """Weights by names of one layout, in any shapes, perhaps in a container of others."""
    keys = draw(st.lists(st.sampled_from(KEYS[draw(st.sampled_from(list(KEYS)))]), unique=True))
    tensors = {key: torch.zeros(draw(SHAPES)) for key in keys}
    if draw(st.booleans()):
        tensors[draw(st.sampled_from([0, (1,), 'x', None]))] = draw(st.sampled_from([0, 'y', {}]))
    place = draw(st.sampled_from(['', 'state_dict', 'teacher', 'student', 'embedding_model', 'x']))
    return {place: tensors} if place else tensors


@given(states())
def test_weights_of_any_shapes(tmp_path, state):
    path = tmp_path / 'weights.pth'
    torch.save(state, path)
    read_or_refuse(load_model, str(path))


def test_the_check_of_pickles_passes_what_torch_writes():
    for data in (NEW, OLD):
        content = torch.load(io.BytesIO(data), weights_only=True)
        pickle_check.check_after(content, len(data))
