import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from mmcroc.data.oversegmented import OversegmentedImages
from mmcroc.data.sample_seed import EpochSampler
from mmcroc.data.two_views import PackTwoViewsWithRegions
from mmcroc.hsg.views import IGNORE, TwoViewsWithRegions, central_view
from tests.support.images import smooth_image, write_images
from tests.support.paths import CONFIGS

COLOUR = [dict(type='mmcroc.ColorJitter', saturation=0.4), dict(type='mmcroc.RandomGrayscale')]
PIPELINE = [
    dict(type='mmcroc.TwoViewsWithRegions', size=32, view_transforms=[COLOUR, COLOUR]),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """As in a run: mmcroc's transforms are found from another package's scope."""
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=True)


def blocks(height=60, width=90, side=15):
    """A map of square regions, and the image that paints region r in colour (r, 255 - r, 2 r)."""
    y, x = np.mgrid[:height, :width] // side
    regions = (y * 7 + x).astype(np.int32)
    return np.stack([regions, 255 - regions, 2 * regions], axis=2).astype(np.uint8), regions


def views_of(img, regions, seed=0, **kwargs):
    np.random.seed(seed)  # noqa: NPY002
    return TwoViewsWithRegions(**kwargs)(dict(img=img, oversegmentation=regions))


def interior(regions):
    """Pixels whose eight neighbours are all of their own region."""
    padded = np.pad(regions, 1, constant_values=-2)
    h, w = regions.shape
    return np.all(
        [padded[dy : dy + h, dx : dx + w] == regions for dy in range(3) for dx in range(3)], axis=0
    )


@pytest.mark.parametrize('flip_prob', [0.0, 1.0])
def test_image_and_regions_agree_away_from_borders(flip_prob):
    img, regions = blocks()
    for seed in range(20):
        results = views_of(img, regions, seed, size=40, flip_prob=flip_prob)
        for view, ids in zip(results['img'], results['oversegmentation'], strict=True):
            inside = interior(ids) & (ids != IGNORE)
            assert inside.sum() > 100
            np.testing.assert_array_equal(view[inside][:, 0], ids[inside])


@pytest.mark.parametrize('factor', [0.5, 0.77, 1.0, 1.5])
def test_borders_of_image_and_regions_lie_at_the_same_place(factor):
    """A region pixel is of the side that gives more than half of the image's pixel there."""
    for edge in range(10, 30):
        regions = np.zeros((40, 40), np.int32)
        regions[:, edge:] = 200
        img = np.repeat(regions[:, :, None], 3, axis=2).astype(np.uint8)
        for flip_prob in (0.0, 1.0):
            results = views_of(img, regions, size=64, scale=(factor, factor), flip_prob=flip_prob)
            view, ids = results['img'][0][..., 0].astype(int), results['oversegmentation'][0]
            clear = (ids != IGNORE) & (abs(view - 100) > 2)  # an equal share may go either way
            np.testing.assert_array_equal(view[clear] > 100, ids[clear] > 100)


def test_unscaled_view_is_a_crop_of_the_pair():
    img = smooth_image(50, 70)
    regions = np.arange(50 * 70, dtype=np.int32).reshape(50, 70)
    places = set()
    for seed in range(30):
        results = views_of(img, regions, seed, size=30, scale=(1, 1), flip_prob=0.5)
        for view, ids in zip(results['img'], results['oversegmentation'], strict=True):
            np.testing.assert_array_equal(view, img.reshape(-1, 3)[ids])
            flip = ids[0, 0] > ids[0, -1]
            y, x = divmod(int(ids[0, -1 if flip else 0]), 70)
            expected = regions[y : y + 30, x : x + 30]
            np.testing.assert_array_equal(ids, expected[:, ::-1] if flip else expected)
            places.add((y, x, bool(flip)))
    assert len(places) > 50, 'views are drawn independently'
    assert {flip for *_, flip in places} == {True, False}


def test_crops_reach_every_edge_of_the_image():
    regions = np.arange(9, dtype=np.int32).reshape(3, 3)
    img = smooth_image(3, 3)
    corners = {
        int(ids[0, 0])
        for seed in range(60)
        for ids in views_of(img, regions, seed, size=2, scale=(1, 1), flip_prob=0)[
            'oversegmentation'
        ]
    }
    assert corners == {0, 1, 3, 4}


def test_scale_stays_in_its_range_and_fills_it():
    img, regions = smooth_image(100, 100), np.zeros((100, 100), np.int32)
    sides = [
        int((ids[:, 0] != IGNORE).sum())
        for seed in range(100)
        for ids in views_of(img, regions, seed, size=200)['oversegmentation']
    ]
    assert 50 <= min(sides) < 55 and 145 < max(sides) <= 150
    assert abs(np.mean(sides) - 100) < 8


@pytest.mark.parametrize('flip_prob', [0.0, 1.0])
def test_small_images_are_padded_at_the_bottom_and_the_right(flip_prob):
    img, regions = np.full((10, 20, 3), 9, np.uint8), np.full((10, 20), 5, np.int32)
    results = views_of(img, regions, size=32, scale=(1, 1), flip_prob=flip_prob)
    for view, ids in zip(results['img'], results['oversegmentation'], strict=True):
        expected = np.full((32, 32), IGNORE)
        expected[:10, :20] = 5
        np.testing.assert_array_equal(ids, expected)
        assert (view[ids == 5] == 9).all() and (view[ids == IGNORE] == (124, 116, 104)).all()


def test_colour_transforms_see_the_padded_image_and_not_the_regions():
    def invert(results):
        assert set(results) == {'img'}
        return dict(img=255 - results['img'])

    img, regions = np.full((4, 4, 3), 9, np.uint8), np.full((4, 4), 5, np.int32)
    results = views_of(img, regions, size=8, scale=(1, 1), view_transforms=[[], [invert]])
    np.testing.assert_array_equal(results['img'][1], 255 - results['img'][0])
    np.testing.assert_array_equal(*results['oversegmentation'])


@pytest.mark.parametrize('shape', [(1, 1), (1, 300), (300, 1)])
def test_degenerate_images_pass(shape):
    img, regions = np.full((*shape, 3), 60, np.uint8), np.full(shape, 70, np.uint16)
    for seed in range(5):
        results = views_of(img, regions, seed, size=16)
        assert results['img'][0].shape == (16, 16, 3) and results['img_shape'] == shape
        assert results['oversegmentation'].shape == (2, 16, 16)
        assert set(np.unique(results['oversegmentation'])) <= {-1, 70}
        assert (results['oversegmentation'][:, 0, 0] == 70).all()


def test_large_ids_and_images_without_any_region_pass():
    img = smooth_image(20, 20)
    regions = np.full((20, 20), 65535, np.uint16)
    assert (views_of(img, regions, size=8)['oversegmentation'] == 65535).all()
    nothing = views_of(img, np.full((20, 20), IGNORE, np.int32), size=8)['oversegmentation']
    assert nothing.dtype == np.int32 and (nothing == IGNORE).all()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(size=0), 'size >= 1'),
        (dict(size=(32, 32)), 'size >= 1'),
        (dict(scale=(0, 1)), '0 < low <= high'),
        (dict(scale=(1.5, 0.5)), '0 < low <= high'),
        (dict(flip_prob=1.2), r'flip_prob in \[0, 1\]'),
        (dict(pad_value=(1, 2)), 'pad_value of three numbers'),
        (dict(pad_value=(1, 2, 256)), 'pad_value of three numbers'),
        (dict(view_transforms=[[]]), 'TwoViewsWithRegions.view_transforms must be two lists'),
    ],
)
def test_wrong_settings_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwoViewsWithRegions(**kwargs)


@pytest.mark.parametrize(
    ('img', 'regions', 'error', 'message'),
    [
        (np.ones((8, 8, 3), np.float32), np.zeros((8, 8), int), TypeError, 'img must be uint8'),
        (np.ones((8, 8, 3), np.uint8), np.zeros((8, 9), int), ValueError, r'\(8, 9\), but img'),
        (np.ones((8, 8, 3), np.uint8), np.zeros((8, 8)), TypeError, 'integer, but is float64'),
    ],
)
def test_wrong_samples_are_named(img, regions, error, message):
    with pytest.raises(error, match=message):
        views_of(img, regions)


def test_packed_sample():
    views = [smooth_image(8, 8, seed) for seed in (1, 2)]
    regions = np.arange(128, dtype=np.int32).reshape(2, 8, 8)
    packed = PackTwoViewsWithRegions()(
        dict(img=views, oversegmentation=regions, img_path='a.jpg', img_shape=(5, 6))
    )
    for view, packed_view in zip(views, packed['inputs'], strict=True):
        np.testing.assert_array_equal(packed_view.numpy(), view.transpose(2, 0, 1))
    assert packed['oversegmentation'].dtype == torch.int32
    np.testing.assert_array_equal(packed['oversegmentation'].numpy(), regions)
    sample = packed['data_samples']
    assert set(sample.metainfo_keys()) == {'img_path', 'img_shape', 'unreadable'}


def write_pairs(root, number):
    write_images(root / 'images', [f'{i}.jpg' for i in range(number)])
    (root / 'maps').mkdir()
    for i in range(number):
        Image.fromarray(np.full((48, 64), i, np.uint8)).save(root / f'maps/{i}.png')


def test_config_keeps_views_and_maps_of_an_image_together(tmp_path):
    write_pairs(tmp_path, 5)
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/hsg_two_views.py').train_dataloader
    cfg.dataset.update(
        data_root=str(tmp_path), folders=['images'], oversegmentation_folders=['maps']
    )
    cfg.update(batch_size=5, num_workers=1, persistent_workers=False)
    loader = Runner.build_dataloader(cfg, seed=5)
    (batch,) = loader
    assert [view.shape for view in batch['inputs']] == [(5, 3, 224, 224)] * 2
    assert batch['oversegmentation'].shape == (5, 2, 224, 224)
    for ids, sample in zip(batch['oversegmentation'], batch['data_samples'], strict=True):
        assert (ids[:, 0, 0] == sample.sample_idx).all()
        assert sample.oversegmentation_path == str(tmp_path / f'maps/{sample.sample_idx}.png')


def test_sample_depends_on_seed_epoch_and_index_alone(tmp_path):
    write_pairs(tmp_path, 4)
    dataset = OversegmentedImages(tmp_path, 'maps', folders='images', pipeline=PIPELINE)

    def load(epoch, **kwargs):
        sampler = EpochSampler(dataset, seed=5, shuffle=False)
        sampler.set_epoch(epoch)
        loader = DataLoader(dataset, sampler=sampler, collate_fn=default_collate, **kwargs)
        batches = list(loader)
        return torch.cat([torch.stack(batch['inputs'], 1) for batch in batches])

    reference = load(0, batch_size=4)
    assert torch.equal(reference, load(0, batch_size=1, num_workers=2))
    assert not torch.equal(reference, load(1, batch_size=4))


@pytest.mark.parametrize(
    ('shape', 'size', 'min_scale', 'expected'),
    [
        ((40, 60), 90, 0.5, (40, 60)),  # never enlarged, never padded
        ((60, 90), 60, 0.5, (40, 60)),  # shrunk until it fits
        ((90, 60), 60, 0.5, (60, 40)),
        ((60, 120), 45, 0.5, (30, 45)),  # no further than training does: the centre of 30 x 60
        ((60, 90), 60, 1.5, (60, 60)),  # training enlarges: its own size, the centre
    ],
)
def test_the_central_view_keeps_its_aspect_and_fits_a_view(shape, size, min_scale, expected):
    img, regions = blocks(*shape)
    view, ids = central_view(img, regions, size, min_scale)
    assert view.shape == (*expected, 3) and ids.shape == expected
    inside = interior(ids)
    assert inside.sum() > 100
    assert (view[inside][:, 0] == ids[inside]).all()


def test_the_central_view_is_central():
    img, regions = blocks(30, 90)
    view, ids = central_view(img, regions, 30, 1.0)
    np.testing.assert_array_equal(view, img[:, 30:60])
    np.testing.assert_array_equal(ids, regions[:, 30:60])
