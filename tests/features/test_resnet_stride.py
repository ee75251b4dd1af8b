"""ResNets at stride 16 are torchvision's and timm's of that stride."""

import pytest
import timm
import torch
import torchvision
import transformers
from mmseg.models.backbones import ResNet, ResNetV1d

from mmcroc.features.pretrained_backbone import dilate_last_stage

IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def feature_map(network):
    network.eval()
    with torch.no_grad():
        features = (
            network.forward_features(IMAGES)
            if hasattr(network, 'forward_features')
            else network(IMAGES)
        )
    return features[-1] if isinstance(features, tuple | list) else features


@pytest.mark.parametrize('name', ['resnet50', 'resnet18'])
def test_it_is_timms_of_output_stride_16(name):
    plain = timm.create_model(name, num_classes=0)
    theirs = timm.create_model(name, num_classes=0, output_stride=16)
    theirs.load_state_dict(plain.state_dict())
    dilate_last_stage(plain)
    found = feature_map(plain)
    assert found.shape[2:] == (4, 6)
    torch.testing.assert_close(found, feature_map(theirs))


@pytest.mark.parametrize('network', [ResNet, ResNetV1d])
def test_it_is_mmsegmentations_of_contracted_dilation(network):
    plain = network(depth=50)
    theirs = network(depth=50, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True)
    theirs.load_state_dict(plain.state_dict())
    dilate_last_stage(plain)
    torch.testing.assert_close(feature_map(plain), feature_map(theirs))


def test_it_is_torchvisions_with_dilation_in_place_of_stride():
    plain = torchvision.models.resnet50()
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=[False, False, True])
    theirs.load_state_dict(plain.state_dict())
    dilate_last_stage(plain)
    plain.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
    theirs.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
    maps = []
    feature_map(plain), feature_map(theirs)
    torch.testing.assert_close(*maps)


def test_a_resnet_of_transformers_keeps_its_resolution_too():
    config = transformers.ResNetConfig(depths=[1, 1, 1, 2], hidden_sizes=[8, 8, 8, 16])
    network = transformers.ResNetModel(config).eval()
    dilate_last_stage(network)
    assert network(IMAGES).last_hidden_state.shape == (1, 16, 4, 6)


def test_a_last_stage_without_stride_is_left_alone():
    network = ResNet(depth=50, strides=(1, 2, 2, 1))
    before = feature_map(network)
    dilate_last_stage(network)
    assert torch.equal(feature_map(network), before)
