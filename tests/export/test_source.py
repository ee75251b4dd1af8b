"""What is exported of a checkpoint, and what is refused."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mmcroc.export.export import export_backbone
from mmcroc.export.source import describe
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from mmcroc.weights import architectures
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.released_croc import convert_released_network
from tests.support.hsg_models import save_hsg
from tests.support.random_models import TINY, assert_same_weights, random_backbone, vit_config


def test_the_student_is_another_network(croc, tmp_path):
    export_backbone(croc.path, 'mmpretrain', tmp_path / 'teacher.pth')
    export = export_backbone(f'{croc.path}:student', 'mmpretrain', tmp_path / 'student.pth')
    assert export.metadata['network'] == 'student'
    teacher, student = (load_backbone(str(tmp_path / f'{name}.pth')).state_dict()
                        for name in ('teacher', 'student'))  # fmt: skip
    assert_same_weights(teacher, croc.backbone.state_dict())
    wanted = random_backbone(vit_config(TINY), seed=1).state_dict()
    assert_same_weights(student, wanted)


@pytest.mark.parametrize('network', ['teacher', 'student'])
def test_a_released_checkpoint_is_exported(network, fixtures_dir, tmp_path, monkeypatch):
    path = fixtures_dir / 'croc_checkpoint_tiny.pth'
    monkeypatch.setattr(architectures, 'HEAD_DIM', 16)  # the fixture's heads are smaller
    export = export_backbone(f'{path}:{network}', 'mmpretrain', tmp_path / 'out.pth')
    assert (export.metadata['method'], export.metadata['network']) == ('CrOC', network)
    found = load_backbone(str(tmp_path / 'out.pth')).state_dict()
    released, _ = read_checkpoint(str(path))
    wanted = convert_released_network(released[network])
    for key, value in found.items():
        assert torch.equal(value, wanted[f'backbone.{key}'])


def test_a_checkpoint_of_one_network_has_no_student(vit_small, tmp_path):
    with pytest.raises(ValueError, match='one network'):
        export_backbone(f'{vit_small.path}:student', 'mmpretrain', tmp_path / 'out.pth')
    for name in (vit_small.path, 'random'):
        with pytest.raises(ValueError, match='has no neck'):
            export_backbone(name, 'onnx', tmp_path / 'out.onnx', with_neck=True)


def test_hsg_with_and_without_its_suffix_is_one_backbone(tmp_path):
    _, path = save_hsg(tmp_path)
    one, two = tmp_path / 'one.safetensors', tmp_path / 'two.safetensors'
    export_backbone(path, 'safetensors', one)
    export_backbone(f'{path}:backbone', 'safetensors', two)
    assert_same_weights(load_file(one), load_file(two))


def test_parts_that_numbers_do_not_say_are_found_out():
    vit = MODELS.build(vit_config(TINY))
    vit.layers[0].ffn.layers[0][1] = nn.ReLU()
    with pytest.raises(ValueError, match='other tokens'):
        describe(vit)
    vit = MODELS.build(vit_config(TINY))
    vit.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r'(?s)parts that .*extra'):
        describe(vit)
    with pytest.raises(ValueError, match='TimmBackbone cannot be exported'):
        describe(MODELS.build(dict(type='mmcroc.TimmBackbone', model_name='resnet18',
                                   pretrained=False)))  # fmt: skip


def test_describing_leaves_the_random_state_alone():
    vit = random_backbone(vit_config(TINY))
    before = torch.get_rng_state()
    describe(vit)
    assert torch.equal(before, torch.get_rng_state())
