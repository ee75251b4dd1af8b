"""Dense features of single images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

import mmcroc
from mmcroc.data.image_reading import UnreadableImageError
from mmcroc.features.pretrained_backbone import load_model
from mmcroc.inference.extraction import dense_features, write_features
from tests.support.images import smooth_image

MODEL = 'random:deit-tiny/16'


@pytest.fixture(scope='module')
def model():
    return load_model(MODEL)


def test_the_features_are_the_models_of_the_normalised_image(model):
    """An image of whole tokens and of the size asked for is not resized."""
    image = smooth_image()[:48, :64]
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    normal = torch.from_numpy(((image - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]
    found = mmcroc.dense_features(model, image, longer_side=64)
    assert found.shape == (192, 3, 4)
    torch.testing.assert_close(found, model.features(normal)[0], rtol=0, atol=1e-4)


def test_names_modules_and_files_will_do(model, tmp_path):
    image = smooth_image()
    Image.fromarray(image).save(tmp_path / 'a.png')
    want = dense_features(model, image, longer_side=64)
    torch.testing.assert_close(dense_features(MODEL, tmp_path / 'a.png', longer_side=64), want)
    torch.testing.assert_close(dense_features(model.model, image, longer_side=64), want)


def test_layers_come_in_the_order_asked_for(model):
    last, first = dense_features(model, smooth_image(), longer_side=64, layers=[-1, 0])
    torch.testing.assert_close(last, dense_features(model, smooth_image(), longer_side=64))
    assert first.shape == last.shape and not torch.equal(first, last)


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
@pytest.mark.parametrize('suffix', ['npz', 'safetensors'])
def test_files_hold_what_was_written(tmp_path, suffix, dtype):
    maps = dict(features=torch.randn(5, 2, 3), layer_0=torch.randn(5, 2, 3).mT)
    path = tmp_path / 'deep' / f'a.{suffix}'
    write_features(path, maps, dict(model='m', height=4), dtype)
    if suffix == 'npz':
        with np.load(path) as file:
            found = dict(file)
        metadata = str(found.pop('metadata'))
    else:
        found = load_file(path)
        with safe_open(path, 'numpy') as file:
            metadata = file.metadata()['metadata']
    assert json.loads(metadata) == dict(model='m', height=4)
    for name, each in maps.items():
        np.testing.assert_array_equal(found[name], each.to(getattr(torch, dtype)).numpy())


@pytest.mark.parametrize('value', [7e4, float('nan'), float('inf')])
def test_features_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, value):
    with pytest.raises(ValueError, match='do not fit into float16'):
        write_features(tmp_path / 'a.npz', dict(features=torch.full((1, 1, 1), value)), {})
    assert not list(tmp_path.iterdir())


def test_what_is_no_image_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match='must be uint8 RGB'):
        dense_features(model, np.zeros((4, 4)))
    (tmp_path / 'a.jpg').write_text('no image')
    with pytest.raises(UnreadableImageError, match=r'a\.jpg'):
        dense_features(model, tmp_path / 'a.jpg')
    with pytest.raises(ValueError, match="less than the model's stride"):
        dense_features(model, smooth_image(), longer_side=8)
