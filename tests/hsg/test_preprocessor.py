import pytest
import torch
from mmpretrain.structures import DataSample

from mmcroc.data.two_views import TwoViewDataPreprocessor
from mmcroc.hsg.views import RegionViewDataPreprocessor

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.fixture
def preprocessor():
    return RegionViewDataPreprocessor(mean=MEAN, std=STD)


def batch(images=3, size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, high=256, dtype=torch.uint8):
        return torch.randint(high, shape, generator=generator, dtype=dtype)

    return dict(
        inputs=[draw(images, 3, size, size) for _ in range(2)],
        oversegmentation=draw(images, 2, size, size, high=65536, dtype=torch.int32) - 1,
        data_samples=[DataSample() for _ in range(images)],
    )


def test_views_are_normalised_image_by_image(preprocessor):
    data = batch()
    inputs = preprocessor(data, training=True)['inputs']
    assert inputs.shape == (6, 3, 4, 4) and inputs.dtype == torch.float32
    for image in range(3):
        for view in range(2):
            raw = data['inputs'][view][image].float()
            expected = (raw - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            torch.testing.assert_close(inputs[2 * image + view], expected)


def test_regions_are_in_the_order_of_the_views(preprocessor):
    data = batch()
    prepared = preprocessor(data, training=True)
    regions = prepared['oversegmentation']
    assert regions.shape == (6, 4, 4) and regions.dtype == torch.int32
    for image in range(3):
        for view in range(2):
            assert torch.equal(regions[2 * image + view], data['oversegmentation'][image, view])
    assert prepared['data_samples'] is data['data_samples']


@pytest.mark.parametrize('as_list', [True, False])
def test_single_images_pass_as_in_the_parent(preprocessor, as_list):
    images = batch()['inputs'][0]
    data = dict(inputs=list(images) if as_list else images, data_samples=[DataSample()] * 3)
    expected = TwoViewDataPreprocessor(mean=MEAN, std=STD)(data)
    prepared = preprocessor(data)
    assert set(prepared) == {'inputs', 'data_samples'}
    assert torch.equal(prepared['inputs'], expected['inputs'])


def test_batch_without_regions_is_explained(preprocessor):
    data = batch()
    del data['oversegmentation']
    with pytest.raises(ValueError, match=r'oversegmentation=NoneType.*PackTwoViewsWithRegions'):
        preprocessor(data)


def test_single_stack_of_views_is_explained(preprocessor):
    data = batch()
    with pytest.raises(ValueError, match=r'needs 2 views .* got 1 views'):
        preprocessor(dict(data, inputs=data['inputs'][:1]))


def test_regions_of_another_shape_are_named(preprocessor):
    data = batch()
    with pytest.raises(ValueError, match=r'need oversegmentation of \(3, 2, 4, 4\), but it is'):
        preprocessor(dict(data, oversegmentation=data['oversegmentation'][:, :, :2]))
