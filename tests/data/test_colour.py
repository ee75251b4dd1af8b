import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torchvision.transforms import functional as F

from mmcroc.data.colour import (
    ColorJitter,
    GaussianBlur,
    RandomGrayscale,
    Solarize,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from tests.support.images import smooth_image

IMAGES = [smooth_image(seed=seed) for seed in range(3)]
IMAGES.append(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
ALL = [ColorJitter, RandomGrayscale, GaussianBlur, Solarize]


def difference(img, reference):
    """Mean and greatest absolute difference, in grey levels."""
    reference = np.asarray(reference)
    assert img.dtype == np.uint8 and img.shape == reference.shape
    difference = np.abs(img.astype(int) - reference)
    return difference.mean(), difference.max()


@pytest.mark.parametrize('img', IMAGES)
@pytest.mark.parametrize('factor', [0.6, 0.93, 1.0, 1.4])
class TestFactorsAgainstPillow:
    def test_brightness_is_the_same(self, img, factor):
        reference = ImageEnhance.Brightness(Image.fromarray(img)).enhance(factor)
        assert difference(adjust_brightness(img, factor), reference) == (0, 0)

    def test_contrast_is_the_same(self, img, factor):
        reference = ImageEnhance.Contrast(Image.fromarray(img)).enhance(factor)
        mean, largest = difference(adjust_contrast(img, factor), reference)
        assert mean < 0.1 and largest <= 1

    def test_saturation_is_within_a_level(self, img, factor):
        reference = ImageEnhance.Color(Image.fromarray(img)).enhance(factor)
        mean, largest = difference(adjust_saturation(img, factor), reference)
        assert mean < 0.3 and largest <= 1


@pytest.mark.parametrize('img', IMAGES)
@pytest.mark.parametrize('shift', [-0.1, -0.013, 0.0, 0.05, 0.1, 0.5])
def test_hue_is_that_of_torchvision(img, shift):
    reference = F.adjust_hue(Image.fromarray(img), shift)
    mean, largest = difference(adjust_hue(img, shift), reference)
    assert mean < 0.5 and largest <= 8


@pytest.mark.parametrize('sigma', [0.1, 0.5, 1.0, 2.0])
def test_blur_is_that_of_pillow_borders_included(sigma):
    for img in IMAGES:
        ours = GaussianBlur().change(img, sigma)
        reference = Image.fromarray(img).filter(ImageFilter.GaussianBlur(sigma))
        mean, _ = difference(ours, reference)
        assert mean < (1.5 if img is IMAGES[-1] else 0.6)


@pytest.mark.parametrize('threshold', [0, 100, 128, 256])
def test_solarize_is_that_of_pillow(threshold):
    for img in IMAGES:
        reference = ImageOps.solarize(Image.fromarray(img), threshold)
        assert difference(Solarize(threshold).change(img, True), reference) == (0, 0)


def test_grayscale_is_that_of_pillow():
    for img in IMAGES:
        reference = Image.fromarray(img).convert('L').convert('RGB')
        assert difference(RandomGrayscale().change(img, True), reference)[1] <= 1


def test_red_is_darker_than_green_in_grey():
    red, green = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    assert RandomGrayscale().change(red, True).max() == 76
    assert RandomGrayscale().change(green, True).max() == 150


@pytest.mark.parametrize('cls', ALL)
def test_probability_zero_one_and_between(cls):
    img = IMAGES[-1]

    def share_changed(prob):
        transform = cls(prob=prob)
        return np.mean([(transform(dict(img=img))['img'] != img).any() for _ in range(200)])

    np.random.seed(0)  # noqa: NPY002
    assert share_changed(0.0) == 0
    assert share_changed(1.0) > 0.85
    assert 0.15 < share_changed(0.3) < 0.4


@pytest.mark.parametrize('cls', ALL)
def test_input_stays_as_it_was(cls):
    img = IMAGES[0].copy()
    cls(prob=1.0)(dict(img=img))
    np.testing.assert_array_equal(img, IMAGES[0])


def test_jitter_draws_factors_from_the_whole_range(monkeypatch):
    drawn = {name: [] for name in ('brightness', 'contrast', 'saturation', 'hue')}
    for name, values in drawn.items():

        def record(img, factor, values=values):
            values.append(factor)
            return img

        monkeypatch.setattr(f'mmcroc.data.colour.adjust_{name}', record)
    np.random.seed(0)  # noqa: NPY002
    jitter = ColorJitter(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, prob=1.0)
    for _ in range(400):
        jitter(dict(img=IMAGES[0]))
    for name, (low, high) in dict(
        brightness=(0.6, 1.4), contrast=(0, 2.5), saturation=(0.8, 1.2), hue=(-0.1, 0.1)
    ).items():
        slack = 0.02 * (high - low)
        assert low <= min(drawn[name]) < low + slack and high - slack < max(drawn[name]) <= high


def test_jitter_order_is_random(monkeypatch):
    orders, order = set(), []
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        monkeypatch.setattr(
            f'mmcroc.data.colour.adjust_{name}',
            lambda img, factor, name=name: order.append(name) or img,
        )
    for _ in range(400):
        ColorJitter(prob=1.0)(dict(img=IMAGES[0]))
        orders.add(tuple(order))
        order.clear()
    assert len(orders) == 24


@pytest.mark.parametrize(
    ('cls', 'kwargs', 'message'),
    [
        (ColorJitter, dict(hue=0.6), r'ColorJitter.hue must be \[0, 0.5\]'),
        (ColorJitter, dict(contrast=-1), 'ColorJitter.contrast'),
        (GaussianBlur, dict(radius_range=(2, 1)), 'radius_range'),
        (Solarize, dict(prob=1.1), 'Solarize.prob'),
    ],
)
def test_wrong_settings_are_named(cls, kwargs, message):
    with pytest.raises(ValueError, match=message):
        cls(**kwargs)
