"""ResNets under timm's and torchvision's names and MMPretrain's."""

import pytest
import timm
import torch
import torchvision

from mmcroc.registry import MODELS
from mmcroc.weights.key_map import UnknownKeysError
from mmcroc.weights.resnet_names import resnet_from_timm, resnet_to_timm

#: (timm's name, MMPretrain's type, depth)
KINDS = [
    ('resnet18', 'ResNet', 18),
    ('resnet50', 'ResNet', 50),
    ('resnet50c', 'ResNetV1c', 50),
    ('resnet50d', 'ResNetV1d', 50),
]
IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def drawn(module):
    """Norms and their statistics are drawn: fresh ones are all alike."""
    torch.manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.0)
    module.eval()
    return module


def mmpretrain_resnet(kind, depth):
    return drawn(MODELS.build(dict(type=f'mmpretrain.{kind}', depth=depth)))


@pytest.mark.parametrize(('name', 'kind', 'depth'), KINDS)
def test_both_libraries_give_the_same_map(name, kind, depth):
    source, target = drawn(timm.create_model(name, num_classes=0)), mmpretrain_resnet(kind, depth)
    target.load_state_dict(resnet_from_timm(source.state_dict()), strict=True)
    want = source.forward_features(IMAGES)
    torch.testing.assert_close(target(IMAGES)[-1], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('name', 'kind', 'depth'), KINDS)
def test_there_and_back_nothing_changes(name, kind, depth):
    state = mmpretrain_resnet(kind, depth).state_dict()
    model = timm.create_model(name, num_classes=0)
    model.load_state_dict(resnet_to_timm(state), strict=True)
    back = resnet_from_timm(model.state_dict())
    assert back.keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in back.items())


def test_torchvision_has_the_same_names():
    state = torchvision.models.resnet18().state_dict()
    with pytest.raises(UnknownKeysError, match=r'fc\.weight, fc\.bias'):
        resnet_from_timm(state)
    state = {key: value for key, value in state.items() if not key.startswith('fc.')}
    mmpretrain_resnet('ResNet', 18).load_state_dict(resnet_from_timm(state), strict=True)
