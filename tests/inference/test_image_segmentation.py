"""Single images, from a file to label maps."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcroc.features.feature_segmentor import FeatureSegmentor
from mmcroc.hsg.algorithm import HSG
from mmcroc.inference.segmentation import (
    init_model,
    level_names,
    segment_image,
    shared_centroids,
    smooth_labels,
)
from mmcroc.numerics.resize import nearest_resize
from mmcroc.registry import MODELS
from tests.support.hsg_models import hsg_config, save_hsg
from tests.support.images import smooth_image

IMAGE = smooth_image(height=60, width=90)
SIDE = 96
REGIONS = np.add.outer(np.arange(60) // 20, 3 * (np.arange(90) // 30))


@pytest.fixture(scope='module')
def hsg(tmp_path_factory):
    return init_model(None, save_hsg(tmp_path_factory.mktemp('hsg'))[1])


def test_hsgs_maps_have_the_images_size_and_levels_unite_segments(hsg):
    maps = segment_image(hsg, IMAGE, REGIONS, SIDE)
    assert list(maps) == level_names(hsg) == ['segments', 'level_1', 'level_2']
    assert {labels.shape for labels in maps.values()} == {(60, 90)}
    segments = maps.pop('segments')
    assert len(np.unique(maps['level_1'])) > 1
    assert segments.min() == 0 and len(np.unique(segments)) > 9
    for labels, groups in zip(maps.values(), (4, 2), strict=True):
        assert 0 <= labels.min() <= labels.max() < groups
        for segment in np.unique(segments):
            assert len(np.unique(labels[segments == segment])) == 1


def test_maps_are_those_of_the_models_hierarchy(hsg):
    """64 x 96 pixels are the image's own, so that no resizing blurs the comparison."""
    image = smooth_image(height=64, width=96)
    maps = segment_image(hsg, image, longer_side=SIDE)
    inputs = torch.from_numpy(image).permute(2, 0, 1)[None]
    inputs = hsg.data_preprocessor(dict(inputs=inputs))['inputs']
    want = hsg.predict(inputs, size=(64, 96))[0].numpy()
    assert np.array_equal(want, nearest_resize(hsg.hierarchy(inputs), 64, 96)[0])
    assert hsg.predict(inputs).shape[-2:] == inputs.shape[-2:]
    np.testing.assert_array_equal(np.stack(list(maps.values())), want)


def test_the_model_is_at_stride_8_with_the_checkpoints_weights(tmp_path):
    trained, path = save_hsg(tmp_path)
    model = init_model(None, str(path))
    assert isinstance(model, HSG) and model.stride == 8 and not model.training
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_segments_stay_inside_regions_and_ignored_pixels_outside_segments(hsg):
    """Regions of whole tokens, so that resizing leaves them as they are."""
    image, regions = smooth_image(height=64, width=96), np.zeros((64, 96), np.int32)
    regions[:, 40:] = 7
    regions[:16] = -1
    maps = segment_image(hsg, image, regions, SIDE)
    for labels in maps.values():
        np.testing.assert_array_equal(labels == -1, regions == -1)
    segments = maps['segments']
    assert not set(segments[16:, :40].flat) & set(segments[16:, 40:].flat)


def test_a_checkpoint_without_config_takes_one(tmp_path):
    trained, path = save_hsg(tmp_path)
    torch.save(dict(state_dict=trained.state_dict()), path)
    (tmp_path / 'hsg.py').write_text(Config(hsg_config()).pretty_text)
    for config in (tmp_path / 'hsg.py', Config(hsg_config())):
        assert isinstance(init_model(config, path), HSG)
    with pytest.raises(ValueError, match='holds no config'):
        init_model(None, path)


def test_stage_1_needs_regions_and_gives_segments_only(tmp_path):
    model = init_model(None, save_hsg(tmp_path, num_groups=(), grid=(1, 1))[1])
    with pytest.raises(ValueError, match='prepare_oversegmentation'):
        segment_image(model, IMAGE)
    maps = segment_image(model, IMAGE, REGIONS, SIDE)
    assert list(maps) == ['segments'] and len(np.unique(maps['segments'])) == 9


def test_crocs_teacher_and_any_backbone_give_clusters(tmp_path):
    backbone = dict(
        type='mmcroc.VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=64,
        patch_size=8,
    )
    teacher = MODELS.build(backbone)
    teacher.init_weights()
    state = {f'teacher.backbone.{key}': value for key, value in teacher.state_dict().items()}
    cfg = Config(dict(model=dict(type='mmcroc.CrOC', backbone=backbone)))
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'croc.pth')
    for checkpoint in (tmp_path / 'croc.pth', 'rgb'):
        model = init_model(None, checkpoint)
        assert isinstance(model, FeatureSegmentor)
        maps = segment_image(model, IMAGE, longer_side=SIDE, num_clusters=3)
        assert list(maps) == level_names(model) == ['clusters']
        assert maps['clusters'].shape == (60, 90)
        np.testing.assert_array_equal(np.unique(maps['clusters']), [0, 1, 2])
    with pytest.raises(ValueError, match='only HSG'):
        segment_image(model, IMAGE, REGIONS)


def test_a_file_is_segmented_upright(hsg, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    Image.fromarray(np.rot90(IMAGE)).save(tmp_path / 'a.png', exif=exif)
    Image.fromarray(REGIONS.astype(np.uint8)).save(tmp_path / 'regions.png')
    maps = segment_image(hsg, tmp_path / 'a.png', tmp_path / 'regions.png', SIDE)
    for name, want in segment_image(hsg, IMAGE, REGIONS, SIDE).items():
        np.testing.assert_array_equal(maps[name], want)


@pytest.mark.parametrize('shape', [(1, 1), (1, 70), (300, 2)])
def test_images_of_any_shape(hsg, shape):
    image = smooth_image(*shape)
    for labels in segment_image(hsg, image, longer_side=SIDE).values():
        assert labels.shape == shape and labels.min() >= 0


def test_input_that_does_not_fit_is_named(hsg):
    with pytest.raises(ValueError, match=r'uint8 \(60, 90\)'):
        segment_image(hsg, IMAGE[..., 0])
    with pytest.raises(ValueError, match=r'int64 \(60, 89\).*\(60, 90\)'):
        segment_image(hsg, IMAGE, REGIONS[:, 1:], SIDE)
    with pytest.raises(ValueError, match='ids -2'):
        segment_image(hsg, IMAGE, REGIONS - 2, SIDE)
    with pytest.raises(ValueError, match='num_clusters'):
        segment_image(hsg, IMAGE, num_clusters=3)
    with pytest.raises(ValueError, match='stride of 8'):
        segment_image(hsg, IMAGE, longer_side=7)
    with pytest.raises(ValueError, match='segments, but max_segments=64'):
        segment_image(hsg, IMAGE, np.arange(60 * 90).reshape(60, 90), SIDE)


def test_a_single_token_among_others_is_no_island():
    """Once each was one, as large as a patch; what is wider than a token stays."""
    tokens = torch.zeros(1, 2, 8, 12)
    tokens[:, 0] = 1
    tokens[:, :, :, 6:] = torch.tensor([0.0, 1])[None, :, None, None]
    tokens[0, :, 4, 2] = torch.tensor([0.0, 1])
    labels = smooth_labels(tokens, torch.eye(2), (80, 120))
    assert not labels[0, :, :55].any() and labels[0, :, 65:].all()


def test_clusters_that_images_share_have_the_same_number_in_each(tmp_path):
    """Whatever else the image shows: two colours, once on the left, once on the right."""
    model = init_model(None, 'rgb')
    red, blue = ((200, 30, 30), (30, 30, 200))
    for name, colours in dict(a=(red, blue), b=(blue, red)).items():
        image = np.zeros((64, 64, 3), np.uint8)
        image[:, :32], image[:, 32:] = colours
        Image.fromarray(image).save(tmp_path / f'{name}.png')
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    centroids = shared_centroids(model, paths, 2, longer_side=64)
    assert centroids.shape == (2, 5)
    one, other = (
        segment_image(model, path, longer_side=64, centroids=centroids)['clusters']
        for path in paths
    )
    assert one[5, 5] == other[5, 60] != one[5, 60] == other[5, 5]


def test_what_is_scored_is_not_smoothed():
    """Numbers of protocols are of the tokens' clusters."""
    model = init_model(None, 'rgb')
    labels, smooth = (
        segment_image(model, IMAGE, longer_side=SIDE, num_clusters=3, smooth=on)['clusters']
        for on in (False, True)
    )
    assert labels.shape == smooth.shape and (labels != smooth).any()
