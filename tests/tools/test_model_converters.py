"""tools/model_converters as users call it."""

import runpy

import pytest
import torch
from mmengine.config import Config

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import config_of_text
from mmcroc.weights.released_croc import convert_released_croc
from tests.support.paths import TOOLS
from tests.support.released_checkpoints import released_hsg
from tests.support.weight_files import DINOV2, dino_checkpoint, evaluated, vit

SCRIPT = TOOLS / 'model_converters' / 'to_mmpretrain.py'
IMAGES = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def convert(capsys):
    """Run the tool in this process: (what it exits with, what it printed)."""

    def run(*arguments):
        stopped = None
        try:
            runpy.run_path(str(SCRIPT))['main']([*map(str, arguments)])
        except SystemExit as stop:
            stopped = stop.code
        return stopped, capsys.readouterr().out

    return run


def model_of(path):
    """Built of the config inside, with all the weights."""
    checkpoint = torch.load(path, weights_only=True)
    config = config_of_text(checkpoint['meta']['cfg'])
    Config.fromstring(checkpoint['meta']['cfg'], '.py')
    model = MODELS.build(dict(config['model'], data_preprocessor=config['data_preprocessor']))
    model.load_state_dict(checkpoint['state_dict'], strict=True)
    # Torch overlooks keys below a module that is None.
    assert checkpoint['state_dict'].keys() == model.state_dict().keys()
    return evaluated(model), config


def test_croc_becomes_a_whole_model_of_ours(convert, fixtures_dir, tmp_path):
    source, out = fixtures_dir / 'croc_checkpoint_tiny.pth', tmp_path / 'croc.pth'
    stopped, _ = convert(source, out)
    assert 'attention heads is unknown' in stopped and not out.exists()
    dims = torch.load(source, weights_only=True)['teacher']['backbone.cls_token'].shape[-1]
    stopped, said = convert(source, out, '--num-heads', dims // 16)
    assert stopped is None and f'converted to {out}' in said
    model, config = model_of(out)
    assert config['model']['type'] == 'mmcroc.CrOC'
    wanted = convert_released_croc(torch.load(source, weights_only=True))
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())
    side = 2 * model.backbone.patch_size
    images = torch.randn(2, 3, side, 2 * side)
    tokens = dense_tokens(evaluated(load_backbone(str(out))), images)
    torch.testing.assert_close(tokens, model.extract_feat(images)[0])
    student = dense_tokens(evaluated(load_backbone(f'{out}:student')), images)
    torch.testing.assert_close(student, dense_tokens(model.backbone, images))
    assert not torch.allclose(student, tokens)


def test_of_crocs_teacher_alone_there_is_a_backbone(convert, fixtures_dir, tmp_path):
    checkpoint = torch.load(fixtures_dir / 'croc_checkpoint_tiny.pth', weights_only=True)
    torch.save(dict(teacher=checkpoint['teacher']), tmp_path / 'teacher.pth')
    heads = checkpoint['teacher']['backbone.cls_token'].shape[-1] // 16
    convert(tmp_path / 'teacher.pth', tmp_path / 'out.pth', '--num-heads', heads)
    state = load_backbone(str(tmp_path / 'out.pth')).state_dict()
    assert torch.equal(state['cls_token'], checkpoint['teacher']['backbone.cls_token'])


@pytest.mark.parametrize('stage', [1, 2])
def test_hsg_becomes_a_whole_model_of_ours(convert, tmp_path, stage):
    source = released_hsg(tmp_path / 'released.pth', stage)
    convert(tmp_path / 'released.pth', tmp_path / 'hsg.pth')
    model, config = model_of(tmp_path / 'hsg.pth')
    assert config['model']['type'] == 'mmcroc.HSG'
    torch.testing.assert_close(model.extract_feat(IMAGES)[0], source.extract_feat(IMAGES)[0])
    if stage == 2:
        torch.manual_seed(0)
        assert torch.equal(model.hierarchy(IMAGES), source.hierarchy(IMAGES))


@pytest.mark.parametrize('part', ['teacher', 'student'])
def test_backbones_keep_their_tokens(convert, tmp_path, part):
    source, out = tmp_path / 'dino.pth', tmp_path / 'backbone.pth'
    torch.save(dino_checkpoint(vit(1, **DINOV2), vit(2, **DINOV2)), source)
    convert(source, out, '--network', part)
    want = dense_tokens(evaluated(load_backbone(f'{source}:{part}')), IMAGES)
    assert torch.equal(dense_tokens(evaluated(load_backbone(str(out))), IMAGES), want)


def test_timms_models_keep_their_tokens(convert, tmp_path):
    source, out = tmp_path / 'registers.pth', tmp_path / 'backbone.pth'
    torch.save(vit(reg_tokens=4, no_embed_class=True).state_dict(), source)
    convert(source, out)
    want = dense_tokens(evaluated(load_backbone(str(source))), IMAGES)
    assert torch.equal(dense_tokens(evaluated(load_backbone(str(out))), IMAGES), want)


def test_a_file_that_is_there_stays_unless_told_otherwise(convert, tmp_path):
    source, out = tmp_path / 'vit.pth', tmp_path / 'backbone.pth'
    torch.save(vit(1).state_dict(), source)
    out.write_text('mine')
    stopped, said = convert(source, out)
    assert stopped is None and 'already' in said and out.read_text() == 'mine'
    convert(source, out, '--overwrite')
    assert load_backbone(str(out))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['backbone.pth', 'vit.pth']


def test_what_cannot_be_converted_is_said(convert, tmp_path):
    assert 'no checkpoint at' in convert(tmp_path / 'none.pth', tmp_path / 'out.pth')[0]
    torch.save({'decoder.weight': torch.zeros(1)}, tmp_path / 'other.pth')
    assert 'of no known layout' in convert(tmp_path / 'other.pth', tmp_path / 'out.pth')[0]
    assert 'must end in .pth' in convert(tmp_path / 'other.pth', tmp_path / 'out.bin')[0]
    assert [p.name for p in tmp_path.iterdir()] == ['other.pth']
