import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate

from mmcroc.croc.views import TwoViews
from mmcroc.data import device_colour
from mmcroc.data.colour import ColorJitter, GaussianBlur, RandomGrayscale, Solarize, hue_step
from mmcroc.data.device_colour import NOTHING, RADIUS, apply_colours, draw_colours
from mmcroc.data.sample_seed import seeded_generators
from mmcroc.data.two_views import (
    CleanTeacherDataPreprocessor,
    PackTwoViews,
    PackTwoViewsWithRegions,
    TwoViewDataPreprocessor,
)
from mmcroc.hsg.views import RegionViewDataPreprocessor, TwoViewsWithRegions
from tests.support.images import smooth_image

IMAGES = [smooth_image(seed=seed) for seed in range(5)]
IMAGES.append(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
IMAGES.append(np.repeat(IMAGES[-1][..., :1], 3, axis=2))  # grey: no hue
ALL = [ColorJitter(), RandomGrayscale(), GaussianBlur(), Solarize()]


def stack(images):
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def changed(numbers, images=IMAGES, device='cpu'):
    """The images (N, H, W, 3) after the device's change, each by its row of numbers."""
    images = stack(images).to(device)
    kept = images.clone()
    result = apply_colours(images, np.array(numbers))
    assert result.dtype == torch.uint8 and torch.equal(images, kept)
    return result.permute(0, 2, 3, 1).cpu().numpy()


def numbers_of(**places):
    numbers = list(NOTHING)
    for place, number in places.items():
        numbers[int(place[1:])] = number
    return numbers


#: What the transform does on the CPU, and the numbers that tell the device to do it.
FACTORS = [0.0, 0.61, 0.93, 1.0, 1.234, 1.4]
PARTS = [
    (lambda img, n=name, f=factor: ColorJitter().change(img, [(n, f)]), dict(_0=part, _4=factor))
    for part, name in enumerate(('brightness', 'contrast', 'saturation'))
    for factor in FACTORS
]
PARTS += [
    (lambda img, s=s: ColorJitter().change(img, [('hue', s)]), dict(_0=3, _4=hue_step(s)))
    for s in (-0.1, -0.013, 0.0, 0.05, 0.1, 0.5)
]
PARTS += [
    (lambda img, r=r: GaussianBlur().change(img, r), dict(_9=r))
    for r in (0.1, 0.3, 0.5, 0.77, 1.0, 1.5, 2.0)
]
PARTS += [(lambda img, t=t: Solarize(t).change(img, True), dict(_10=t)) for t in (0, 100, 128)]
PARTS.append((lambda img: RandomGrayscale().change(img, True), dict(_8=1)))


@pytest.mark.parametrize(('on_cpu', 'numbers'), PARTS, ids=lambda part: str(part)[:24])
def test_each_change_is_the_cpus_to_a_grey_level(on_cpu, numbers):
    results = changed([numbers_of(**numbers)] * len(IMAGES))
    for img, result in zip(IMAGES, results, strict=True):
        assert np.abs(result - on_cpu(img).astype(int)).max() <= 1


def test_images_of_a_batch_are_changed_each_by_its_own_numbers():
    numbers = [numbers_of(_0=3, _4=20, _9=1.7), NOTHING, numbers_of(_0=1, _4=1.3, _1=0, _5=0.7)]
    numbers += [numbers_of(_9=0.4, _10=128), numbers_of(_8=1), numbers_of(_0=2, _4=0.5)]
    numbers.append(numbers_of(_9=2.0))
    alone = [changed([n], [img])[0] for n, img in zip(numbers, IMAGES, strict=True)]
    np.testing.assert_array_equal(changed(numbers), alone)
    np.testing.assert_array_equal(alone[1], IMAGES[1])


def test_weights_of_a_blur_sum_to_one_and_reach_three_deviations():
    weights = device_colour.blur_weights(np.array([0.0, 0.1, 1.0, 2.0]))
    assert weights.shape == (4, 13) and (weights.sum(1) == 256).all()
    np.testing.assert_array_equal(weights, weights[:, ::-1])
    assert (weights[0] == 256 * (np.arange(13) == 6)).all()
    assert (weights[2] > 0).sum() == 7


def test_the_draws_are_those_of_the_transforms():
    """Same seed, same jitter in the same order, and the generator is left alike."""
    for seed in range(50):
        with seeded_generators(seed):
            numbers, after = draw_colours(ALL), np.random.rand()  # noqa: NPY002
        with seeded_generators(seed):
            jitter, grey, radius, solarised = [transform.draw() for transform in ALL]
            assert np.random.rand() == after  # noqa: NPY002
        names = [device_colour.JITTER[int(part)] for part in numbers[:4] if part >= 0]
        assert names == [name for name, _ in jitter or ()]
        assert (numbers[8], numbers[RADIUS]) == (grey or 0, radius or 0)
        assert numbers[10] == (128 if solarised else 256)
        for (name, factor), number in zip(jitter or (), numbers[4:8], strict=False):
            assert number == (hue_step(factor) if name == 'hue' else factor)


@pytest.mark.parametrize(
    ('cut', 'pack', 'preprocessor'),
    [
        (TwoViews, PackTwoViews, TwoViewDataPreprocessor),
        (TwoViewsWithRegions, PackTwoViewsWithRegions, RegionViewDataPreprocessor),
    ],
)
def test_views_coloured_on_the_device_are_those_of_the_cpu(cut, pack, preprocessor):
    """Same seeds: nearly all pixels to two levels, means and deviations of each view to one."""
    # Where hues are ill defined, a level of difference before becomes several after the hue.
    preprocess = preprocessor(mean=[0, 0, 0], std=[1, 1, 1])

    def views(on_device):
        transform = cut(48, view_transforms=[ALL, ALL], colour_on_device=on_device)
        samples = []
        for seed in range(24):
            img = smooth_image(seed=seed)
            with seeded_generators(seed):
                sample = transform(dict(img=img, oversegmentation=np.zeros(img.shape[:2], int)))
            samples.append(pack()(sample))
        return preprocess(default_collate(samples))['inputs']

    cpu, device = views(False), views(True)
    difference = (cpu - device).abs()
    assert difference.mean() < 0.1 and (difference > 2).float().mean() < 0.005
    assert (cpu.mean((2, 3)) - device.mean((2, 3))).abs().max() < 1
    assert (cpu.std((2, 3)) - device.std((2, 3))).abs().max() < 0.5
    assert cpu.std() > 10  # there is something to see


def test_a_clean_teacher_gets_the_same_crops_without_their_colours():
    def prepared(preprocessor, **settings):
        transform, samples = TwoViews(48, **settings), []
        for seed in range(4):
            with seeded_generators(seed):
                samples.append(PackTwoViews()(transform(dict(img=smooth_image(seed=seed)))))
        return preprocessor(mean=[9, 0, 0], std=[2, 1, 1])(default_collate(samples))

    coloured = dict(view_transforms=[ALL, ALL], colour_on_device=True)
    found = prepared(CleanTeacherDataPreprocessor, **coloured)
    plain = prepared(TwoViewDataPreprocessor, **coloured)
    torch.testing.assert_close(found['inputs'], plain['inputs'])
    assert found.keys() - plain.keys() == {'teacher_inputs'}
    # The crop is drawn before colours are, so the first view's is that of a run without any.
    clean = prepared(TwoViewDataPreprocessor)['inputs']
    torch.testing.assert_close(found['teacher_inputs'][:4], clean[:4])
    assert not torch.equal(found['teacher_inputs'], found['inputs'])
    with pytest.raises(ValueError, match='colour_on_device=True'):
        prepared(CleanTeacherDataPreprocessor, view_transforms=[ALL, ALL])


@pytest.mark.parametrize(
    'transforms',
    [[ALL[1], ALL[0]], [ALL[0], ALL[0]], [dict(type='mmpretrain.Solarize', thr=128)]],
)
def test_what_the_device_cannot_do_is_refused(transforms):
    with pytest.raises(ValueError, match=r'colour_on_device: .*ColorJitter, RandomGrayscale, '):
        TwoViews(view_transforms=[[], transforms], colour_on_device=True)


@pytest.mark.gpu
def test_the_gpu_does_what_the_cpu_does_without_making_it_wait():
    rng = np.random.default_rng(0)
    with seeded_generators(0):
        numbers = np.stack([draw_colours(ALL) for _ in range(64)])
    images = [IMAGES[i] for i in rng.integers(0, len(IMAGES), 64)]
    expected = changed(numbers, images)
    on_gpu = stack(images).cuda()
    torch.cuda.set_sync_debug_mode('error')
    try:
        with torch.autocast('cuda', torch.bfloat16):
            result = apply_colours(on_gpu, numbers)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    difference = np.abs(result.permute(0, 2, 3, 1).cpu().numpy() - expected.astype(int))
    assert difference.mean() < 0.05 and (difference > 1).mean() < 0.01
