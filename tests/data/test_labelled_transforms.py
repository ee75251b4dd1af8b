"""Transforms that keep label maps with their images."""

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmcroc.data.image_reading import UnreadableImageError
from mmcroc.registry import TRANSFORMS
from tests.support.images import smooth_image


def results(seed=0):
    """An image that shows its labels: grey value 10 times the class."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 20, (5, 6)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
    img = np.stack([mask * 10] * 3, -1)
    return dict(
        img=img, gt_seg_map=mask, seg_fields=['gt_seg_map'], img_shape=(100, 120), ori_shape=(9, 9)
    )


@pytest.mark.parametrize('seed', range(3))
def test_crops_keep_labels_where_their_pixels_are(seed):
    crop = TRANSFORMS.build(
        dict(type='mmcroc.RandomResizedCropWithLabels', size=64, scale=(0.3, 0.6))
    )
    cropped = crop(results(seed))
    assert cropped['img'].shape == (64, 64, 3) and cropped['gt_seg_map'].shape == (64, 64)
    assert cropped['img_shape'] == (64, 64)
    # Away from borders between labels, where bilinear mixes, they agree.
    agree = np.abs(cropped['img'][..., 0] - 10.0 * cropped['gt_seg_map']) < 1
    assert agree.mean() > 0.7


def test_crops_are_resized_as_by_pillow():
    """Bilinear with antialiasing; nearest by pixel centres."""
    given = results()
    whole = dict(type='mmcroc.RandomResizedCropWithLabels', scale=(1, 1), ratio=(1.2, 1.2))
    found = TRANSFORMS.build(dict(whole, size=37))(dict(given))
    image, labels = (Image.fromarray(given[key]) for key in ('img', 'gt_seg_map'))
    want = np.asarray(image.resize((37, 37), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found['img'], want)
    want = np.asarray(labels.resize((37, 37), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found['gt_seg_map'], want)


def test_labels_alone_are_resized_without_new_values():
    before = results()
    labels = set(np.unique(before['gt_seg_map']))
    after = TRANSFORMS.build(dict(type='mmcroc.ResizeLabels', size=10))(dict(before))
    assert after['gt_seg_map'].shape == (10, 10) and after['img'].shape == (100, 120, 3)
    assert set(np.unique(after['gt_seg_map'])) <= labels
    np.testing.assert_array_equal(after['gt_seg_map'], before['gt_seg_map'][::10, ::12])


def test_scores_are_wanted_at_the_inputs_size():
    after = TRANSFORMS.build(dict(type='mmcroc.ScoreAtInputSize'))(results())
    assert after['ori_shape'] == (100, 120)


def test_padding_adds_colour_at_the_bottom_and_the_right_and_keeps_the_images_size():
    given = results()
    want = given['img'].copy()
    padded = TRANSFORMS.build(dict(type='mmcroc.PadImage', size=(110, 150), value=(1, 2, 3)))(given)
    assert padded['img'].shape == (110, 150, 3) and padded['img'].dtype == np.uint8
    assert (padded['img'][:100, :120] == want).all()
    assert (padded['img'][100:] == (1, 2, 3)).all() and (padded['img'][:, 120:] == (1, 2, 3)).all()
    assert padded['img_shape'] == (100, 120) and padded['pad_shape'] == (110, 150)
    assert padded['gt_seg_map'].shape == (100, 120)


def test_images_larger_than_the_padding_are_refused():
    pad = TRANSFORMS.build(dict(type='mmcroc.PadImage', size=(110, 119), value=(0, 0, 0)))
    with pytest.raises(ValueError, match=r'\(100, 120\), larger than size=\(110, 119\)'):
        pad(results())


@pytest.fixture(scope='module')
def recorded(fixtures_dir):
    """A picture of the released hummingbird evaluation, before and after its transforms."""
    with np.load(fixtures_dir / 'hummingbird.npz') as file:
        names = [name for name in file.files if name.startswith('pipeline_')]
        return {name.removeprefix('pipeline_'): file[name] for name in names}


def normalised(image):
    """Pixels (3, H, W) as the release normalises them."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.255])
    return ((image / 255 - mean) / std).transpose(2, 0, 1)


def given(recorded):
    return dict(
        img=recorded['image'], gt_seg_map=recorded['mask'].copy(), seg_fields=['gt_seg_map']
    )


@pytest.mark.parity
def test_pictures_are_squashed_as_the_released_hummingbird_does(recorded):
    squash = TRANSFORMS.build(dict(type='mmcroc.SquashWithLabels', size=28))
    found = squash(given(recorded))
    np.testing.assert_allclose(normalised(found['img']), recorded['val_image'], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found['gt_seg_map'], recorded['val_mask'])
    assert found['img_shape'] == (28, 28)


@pytest.mark.parity
def test_parts_are_resized_as_the_released_hummingbird_does(recorded, monkeypatch):
    top, left, height, width = recorded['box'].tolist()
    monkeypatch.setattr(
        'mmcroc.data.labelled_transforms.sample_crop_box',
        lambda *_: (left, top, width, height),
    )
    crop = TRANSFORMS.build(dict(type='mmcroc.RandomFloatCropWithLabels', size=28))
    found = crop(given(recorded))
    np.testing.assert_allclose(normalised(found['img']), recorded['train_image'], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found['gt_seg_map'], recorded['train_mask'])


def test_boxes_larger_than_the_picture_give_way_to_the_whole():
    """A square picture is wholly kept where no box of up to twice its area fits."""
    crop = TRANSFORMS.build(
        dict(type='mmcroc.RandomFloatCropWithLabels', size=40, scale=(1.5, 2.0))
    )
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    found = crop(dict(img=image, gt_seg_map=image[..., 0], seg_fields=['gt_seg_map']))
    np.testing.assert_allclose(found['img'], image, atol=1e-3)
    np.testing.assert_array_equal(found['gt_seg_map'], image[..., 0])


LOADERS = ('mmcroc.LoadWholeImage', 'mmcroc.LoadRGBImage')


def load(path, kind=LOADERS[0]):
    return TRANSFORMS.build(dict(type=kind))(dict(img_path=str(path)))['img']


@pytest.mark.parametrize('kind', LOADERS)
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('share', [0.5, 0.98])
def test_a_labelled_image_that_was_cut_off_is_refused_by_name(tmp_path, kind, suffix, share):
    """Once OpenCV filled what was missing with grey, and it was scored."""
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(smooth_image(120, 160)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        UnreadableImageError, match=rf'Cannot read image .*a\.{suffix}: .*truncated'
    ):
        load(path, kind)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp'])
@pytest.mark.parametrize('more', [0, 10, 1000])
def test_a_whole_image_is_read_as_mmcv_reads_it_whatever_follows_its_end(tmp_path, suffix, more):
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(smooth_image(120, 160)).save(path)
    path.write_bytes(path.read_bytes() + bytes(more))
    found = load(path)
    np.testing.assert_array_equal(found, mmcv.imread(str(path)))
    np.testing.assert_array_equal(found[..., ::-1], load(path, LOADERS[1]))


def test_an_image_that_is_not_there_is_mmcvs_to_tell(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.jpg'):
        load(tmp_path / 'a.jpg')
