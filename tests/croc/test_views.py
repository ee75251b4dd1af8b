import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from PIL import Image
from torch.utils.data import DataLoader

from mmcroc.croc.views import TwoViews
from mmcroc.data.sample_seed import EpochSampler
from mmcroc.data.synthetic_scenes import SyntheticScenes
from mmcroc.data.two_views import PackTwoViews, crop_resize_flip
from mmcroc.data.unlabelled import UnlabelledImages
from tests.support.images import smooth_image, truncate, write_images

COLOUR = [dict(type='mmcroc.ColorJitter'), dict(type='mmcroc.RandomGrayscale')]
PIPELINE = [
    dict(
        type='mmcroc.TwoViews',
        size=32,
        view_transforms=[
            [*COLOUR, dict(type='mmcroc.GaussianBlur', prob=1.0)],
            [*COLOUR, dict(type='mmcroc.GaussianBlur', prob=0.1), dict(type='mmcroc.Solarize')],
        ],
    ),
    dict(type='mmcroc.PackTwoViews'),
]


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """As in a run: mmcroc's transforms are found from another package's scope."""
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=True)


def load(dataset, num_workers=0, shuffle=True, epoch=0, batch_size=4):
    sampler = EpochSampler(dataset, seed=5, shuffle=shuffle)
    sampler.set_epoch(epoch)
    return list(
        DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=default_collate,
        )
    )


def by_index(batches):
    """Sample index -> (both views, boxes)."""
    return {
        sample.sample_idx: (batch['inputs'][0][i], batch['inputs'][1][i], sample.view_boxes)
        for batch in batches
        for i, sample in enumerate(batch['data_samples'])
    }


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_boxes_and_flips_are_those_of_the_views():
    img = smooth_image(60, 80)
    for seed in range(10):
        np.random.seed(seed), torch.manual_seed(seed)  # noqa: NPY002
        results = TwoViews(size=32)(dict(img=img))
        assert results['view_boxes'].shape == (2, 5) and results['view_boxes'].dtype == np.float32
        assert results['img_shape'] == (60, 80)
        for view, (*box, flip) in zip(results['img'], results['view_boxes'], strict=True):
            expected = crop_resize_flip(img, tuple(map(int, box)), 32, bool(flip))
            np.testing.assert_array_equal(view, expected)
        assert (results['view_boxes'][0] != results['view_boxes'][1]).any()


@pytest.mark.parametrize('flip_prob', [0.0, 1.0])
def test_flip_probability(flip_prob):
    for _ in range(10):
        boxes = TwoViews(size=8, flip_prob=flip_prob)(dict(img=smooth_image()))['view_boxes']
        assert (boxes[:, 4] == flip_prob).all()


def test_each_view_has_its_own_transforms():
    def paint(value):
        return lambda results: dict(img=np.full_like(results['img'], value))

    views = TwoViews(size=8, view_transforms=[[paint(1)], [paint(2)]])(dict(img=smooth_image()))
    assert (views['img'][0] == 1).all() and (views['img'][1] == 2).all()


def test_transforms_of_mmpretrain_can_be_used():
    cfg = [dict(type='mmpretrain.Solarize', thr=0, prob=1.0)]
    views = TwoViews(size=8, view_transforms=[[], cfg])(dict(img=np.full((9, 9, 3), 5, np.uint8)))
    assert (views['img'][0] == 5).all() and (views['img'][1] == 250).all()


def test_wrong_number_of_views_is_named():
    with pytest.raises(ValueError, match=r'view_transforms must be two lists.*has 1'):
        TwoViews(view_transforms=[[]])


@pytest.mark.parametrize('img', [np.ones((8, 8, 3), np.float32), np.ones((8, 8), np.uint8)])
def test_wrong_image_is_named(img):
    with pytest.raises(TypeError, match=r'img must be uint8 of shape \(8, 8, 3\)'):
        TwoViews()(dict(img=img))


def test_view_that_is_no_longer_uint8_is_named():
    def normalise(results):
        return dict(img=results['img'] / 255)

    with pytest.raises(TypeError, match=r'normalise.*float64'):
        TwoViews(size=8, view_transforms=[[normalise], []])(dict(img=smooth_image()))


def test_packed_sample():
    boxes = np.zeros((2, 5), dtype=np.float32)
    views = [smooth_image(8, 8, seed) for seed in (1, 2)]
    results = dict(img=views, view_boxes=boxes, img_path='a.jpg', sample_idx=3, img_shape=(5, 6))
    packed = PackTwoViews()(results)
    for view, packed_view in zip(views, packed['inputs'], strict=True):
        assert packed_view.dtype == torch.uint8 and packed_view.is_contiguous()
        np.testing.assert_array_equal(packed_view.numpy(), view.transpose(2, 0, 1))
    sample = packed['data_samples']
    assert isinstance(sample, DataSample)
    assert set(sample.metainfo_keys()) == {
        'img_path', 'sample_idx', 'view_boxes', 'img_shape', 'unreadable'
    }  # fmt: skip
    assert sample.unreadable == () and sample.img_shape == (5, 6)


def test_batches_have_two_stacked_views_and_a_list_of_samples(tmp_path):
    write_images(tmp_path, [f'{i}.jpg' for i in range(5)])
    first, second = load(UnlabelledImages(tmp_path, pipeline=PIPELINE), num_workers=1)
    assert [view.shape for view in first['inputs']] == [(4, 3, 32, 32)] * 2
    assert first['inputs'][0].dtype == torch.uint8
    assert type(first['data_samples']) is list and len(second['data_samples']) == 1
    assert {type(sample) for sample in first['data_samples']} == {DataSample}


def test_sample_is_the_same_whatever_the_workers_and_the_order(tmp_path):
    write_images(tmp_path, [f'{i}.jpg' for i in range(8)])
    dataset = UnlabelledImages(tmp_path, pipeline=PIPELINE)
    reference = by_index(load(dataset))
    for kwargs in (dict(num_workers=2), dict(shuffle=False), dict(batch_size=3, num_workers=1)):
        other = by_index(load(dataset, **kwargs))
        assert all(same(reference[i], other[i]) for i in range(8))
    other = by_index(load(dataset, epoch=1))
    assert not any(same(reference[i], other[i]) for i in range(8))


def test_runner_builds_it_all_from_a_config(tmp_path):
    write_images(tmp_path, [f'train2017/{i}.jpg' for i in range(4)])
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(
                type='mmcroc.UnlabelledImages',
                data_root=str(tmp_path),
                folders=['train2017'],
                pipeline=PIPELINE,
            ),
            sampler=dict(type='mmcroc.EpochSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        seed=5,
    )
    reference = by_index(load(UnlabelledImages(tmp_path, pipeline=PIPELINE)))
    assert all(same(sample, reference[i]) for i, sample in by_index(loader).items())


def test_synthetic_scenes_fit_the_pipeline():
    dataset = SyntheticScenes(num_images=4, pipeline=PIPELINE)
    assert sorted(by_index(load(dataset))) == [0, 1, 2, 3]


def test_thin_images_pass_the_whole_pipeline(tmp_path):
    for name, shape in dict(wide=(1, 300), high=(300, 1), dot=(1, 1)).items():
        Image.fromarray(np.full((*shape, 3), 60, np.uint8)).save(tmp_path / f'{name}.png')
    (batch,) = load(UnlabelledImages(tmp_path, pipeline=PIPELINE))
    assert batch['inputs'][0].shape == (3, 3, 32, 32)


@pytest.mark.filterwarnings('ignore:Cannot read')
def test_unreadable_images_are_told_of_in_the_batch(tmp_path):
    write_images(tmp_path, [f'{i}.jpg' for i in range(4)])
    truncate(tmp_path / '2.jpg')
    (batch,) = load(UnlabelledImages(tmp_path, pipeline=PIPELINE), num_workers=1)
    paths = {path for sample in batch['data_samples'] for path, _ in sample.unreadable}
    assert paths == {str(tmp_path / '2.jpg')}
