import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from mmcroc.croc.clustering import patch_positions
from mmcroc.data.two_views import crop_resize_flip, sample_crop_box
from tests.support.images import smooth_image

BOXES = [(0, 0, 64, 48), (5, 7, 33, 40), (20, 10, 17, 13), (63, 47, 1, 1)]


@pytest.mark.parametrize('shape', [(48, 64), (64, 48), (480, 640), (40, 400), (400, 40), (1, 9)])
def test_box_is_the_one_torchvision_draws(shape):
    settings = [0.25, 1.0], [3 / 4, 4 / 3]
    for seed in range(20):
        torch.manual_seed(seed)
        x0, y0, w, h = sample_crop_box(*shape, *settings)
        after = torch.rand(1)
        torch.manual_seed(seed)
        expected = RandomResizedCrop.get_params(torch.empty(3, *shape), *settings)
        assert (y0, x0, h, w) == tuple(expected)
        assert torch.rand(1) == after  # and nothing else is drawn


@pytest.mark.parametrize('box', BOXES)
@pytest.mark.parametrize('size', [16, 56])
def test_resize_is_pillows_to_within_two_levels(box, size):
    rng = np.random.default_rng(0)
    for img in (smooth_image(), rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)):
        x0, y0, w, h = box
        reference = Image.fromarray(img).crop((x0, y0, x0 + w, y0 + h))
        reference = np.asarray(reference.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        view = crop_resize_flip(img, box, size, flip=False)
        assert view.dtype == np.uint8 and view.flags.c_contiguous
        difference = np.abs(view - reference)
        assert difference.mean() < 0.3 and difference.max() <= 2


def test_flip_mirrors_columns():
    img = smooth_image()
    straight = crop_resize_flip(img, BOXES[1], 24, flip=False)
    flipped = crop_resize_flip(img, BOXES[1], 24, flip=True)
    np.testing.assert_array_equal(flipped, straight[:, ::-1])
    assert (flipped != straight).any()


def test_source_image_is_left_alone_even_if_read_only():
    img = smooth_image()
    img.flags.writeable = False
    crop_resize_flip(img, (0, 0, 64, 48), 64, flip=True)[:] = 0
    np.testing.assert_array_equal(img, smooth_image())


@pytest.mark.parametrize('flip', [False, True])
def test_a_view_of_the_sources_size_has_its_own_memory(flip):
    img = smooth_image(64, 64)
    crop_resize_flip(img, (0, 0, 64, 64), 64, flip)[:] = 0
    np.testing.assert_array_equal(img, smooth_image(64, 64))


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('box', [(3, 5, 200, 170), (40, 20, 110, 190)])
def test_patches_lie_where_the_five_numbers_say(box, flip):
    """A map of coordinates, warped like the image, against x = x0 + w (c + 1/2) / g - 1/2."""
    x0, y0, w, h = box
    size, grid = 112, 7
    y, x = torch.meshgrid(torch.arange(240.0), torch.arange(320.0), indexing='ij')
    crop = torch.stack([x, y])[None, :, y0 : y0 + h, x0 : x0 + w]
    warped = F.interpolate(
        crop, (size, size), mode='bicubic', align_corners=False, antialias=True
    )  # as crop_resize_flip does, in float
    if flip:
        warped = warped.flip(3)
    centres = F.avg_pool2d(warped, size // grid)[0]

    numbers = torch.tensor([x0, y0, w, h, flip], dtype=torch.float32)
    expected = patch_positions(numbers, (grid, grid)).view(grid, grid, 2)
    inner = slice(1, -1)  # at the borders the bicubic kernel has no neighbours to weigh
    error = (centres.permute(1, 2, 0) - expected)[inner, inner]
    assert error.abs().max() < 0.02


@pytest.mark.parametrize('flip', [False, True])
def test_pixels_lie_where_the_five_numbers_say(flip):
    """The same of the function itself, in whole grey levels: the image's values are its x and y."""
    y, x = np.mgrid[:200, :250].astype(np.uint8)
    box = (30, 12, 201, 180)
    view = crop_resize_flip(np.stack([x, y, x], axis=2), box, 112, flip)
    centres = view[..., :2].reshape(7, 16, 7, 16, 2).mean(axis=(1, 3))
    expected = patch_positions(torch.tensor([*box, flip], dtype=torch.float32), (7, 7))
    assert np.abs(centres - expected.view(7, 7, 2).numpy())[1:-1, 1:-1].max() < 0.15


@pytest.mark.parametrize('shape', [(1, 200), (200, 1), (1, 1)])
def test_thin_images_can_be_cropped(shape):
    img = np.full((*shape, 3), 91, dtype=np.uint8)
    for _ in range(20):
        box = sample_crop_box(*shape, (0.25, 1.0), (3 / 4, 4 / 3))
        assert (crop_resize_flip(img, box, 32, flip=True) == 91).all()
