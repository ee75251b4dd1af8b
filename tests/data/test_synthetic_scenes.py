import numpy as np
import pytest
from mmseg.datasets.transforms import PackSegInputs

from mmcroc.data import synthetic_scenes
from mmcroc.data.sample_seed import SampleIndex
from mmcroc.data.synthetic_scenes import SyntheticScenes


@pytest.fixture(scope='module')
def scenes():
    dataset = SyntheticScenes(num_images=50)
    return [dataset[i] for i in range(50)]


def test_scene_depends_on_seed_and_index_alone(scenes):
    dataset = SyntheticScenes(num_images=8)
    for index in (5, SampleIndex(5, seed=9, epoch=3)):
        np.testing.assert_array_equal(dataset[index]['img'], scenes[5]['img'])
        np.testing.assert_array_equal(dataset[index]['gt_seg_map'], scenes[5]['gt_seg_map'])
    assert (SyntheticScenes(num_images=8, seed=1)[5]['img'] != scenes[5]['img']).any()


def test_a_kept_scene_is_the_drawn_one_whatever_transforms_do_to_it(scenes, monkeypatch):
    """Also a copy of the drawn: the first sample is changed as well, and drawn but once."""
    calls, draw_scene = [], synthetic_scenes.draw_scene

    def draw(*args):
        calls.append(args)
        return draw_scene(*args)

    monkeypatch.setattr(synthetic_scenes, 'draw_scene', draw)
    dataset = SyntheticScenes(num_images=3, cache=True)
    for _ in range(3):
        for index in range(3):
            sample = dataset[index]
            for key in ('img', 'gt_seg_map'):
                assert sample[key].dtype == np.uint8
                np.testing.assert_array_equal(sample[key], scenes[index][key])
                sample[key][:] = 77
            assert sample.keys() == scenes[index].keys()
    assert len(calls) == 3


def test_no_scene_is_in_both_splits(scenes):
    train = {scene['gt_seg_map'].tobytes() for scene in scenes}
    validation = SyntheticScenes(num_images=50, split='val')
    assert len(train) == 50
    assert not train & {validation[i]['gt_seg_map'].tobytes() for i in range(50)}


def test_every_class_is_common(scenes):
    masks = np.stack([scene['gt_seg_map'] for scene in scenes])
    num_classes = len(SyntheticScenes.METAINFO['classes'])
    assert masks.max() == num_classes - 1
    images_with_class = [(masks == c).any(axis=(1, 2)).sum() for c in range(num_classes)]
    assert min(images_with_class) >= 5
    assert len(SyntheticScenes.METAINFO['palette']) == num_classes


def test_mask_borders_are_where_colours_change(scenes):
    """Neighbours across a border of the mask differ more than neighbours within an object."""
    across, within = [], []
    for scene in scenes:
        change = np.abs(np.diff(scene['img'].astype(int), axis=1)).sum(axis=2)
        mask = scene['gt_seg_map']
        border = mask[:, 1:] != mask[:, :-1]
        across.append(change[border].mean())
        within.append(change[~border].mean())
    assert np.mean(across) > 1.5 * np.mean(within)


def test_an_object_is_labelled_exactly_where_it_is_painted():
    rng = np.random.default_rng(0)
    for _ in range(40):
        image, mask = np.full((48, 48, 3), -9, np.float32), np.full((48, 48), 255, np.uint8)
        synthetic_scenes._draw_object(rng, image, mask)
        np.testing.assert_array_equal((image != -9).all(axis=2), mask != 255)
        assert len(np.unique(mask)) <= 2 and 0 < (mask != 255).mean() < 0.4


def test_raw_colour_does_not_tell_the_classes(scenes):
    """Nearest class mean in RGB, fitted on the very pixels it is scored on, stays poor."""
    pixels = np.concatenate([scene['img'].reshape(-1, 3)[::7] for scene in scenes]).astype(float)
    labels = np.concatenate([scene['gt_seg_map'].reshape(-1)[::7] for scene in scenes])
    means = np.stack([pixels[labels == c].mean(axis=0) for c in range(9)])
    guess = ((pixels[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    iou = [((guess == c) & (labels == c)).sum() / ((guess == c) | (labels == c)).sum()
           for c in range(9)]  # fmt: skip
    assert np.mean(iou) < 0.3


def test_mmsegmentation_can_pack_a_scene(scenes):
    sample = SyntheticScenes(num_images=4, pipeline=[PackSegInputs()])[1]
    assert sample['inputs'].shape == (3, 96, 96)
    np.testing.assert_array_equal(
        sample['data_samples'].gt_sem_seg.data[0].numpy(), scenes[1]['gt_seg_map']
    )


@pytest.mark.parametrize('kwargs', [dict(split='test'), dict(num_images=0), dict(image_size=8)])
def test_wrong_settings_are_named(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        SyntheticScenes(**kwargs)
