"""Full-size models that every format is tried on."""

import pytest

from tests.support import random_models


@pytest.fixture(scope='session')
def vit_small(tmp_path_factory):
    return random_models.save(tmp_path_factory.mktemp('vit'), random_models.vit_config())


@pytest.fixture(scope='session')
def resnet50(tmp_path_factory):
    cfg = dict(type='mmpretrain.ResNet', depth=50)
    return random_models.save(tmp_path_factory.mktemp('resnet'), cfg)


@pytest.fixture(scope='session')
def croc(tmp_path_factory):
    """A tiny teacher and student."""
    cfg = random_models.vit_config(random_models.TINY)
    return random_models.save(tmp_path_factory.mktemp('croc'), cfg, 'mmcroc.CrOC')


@pytest.fixture(params=['vit_small', 'resnet50'])
def full_size(request):
    return request.getfixturevalue(request.param)
