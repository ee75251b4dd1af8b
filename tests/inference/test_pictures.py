"""What can be painted of which model."""

import pytest
import torch
from mmengine.config import Config

from mmcroc.inference.pictures import available_kinds, build_painters, training_views
from mmcroc.inference.segmentation import init_model
from mmcroc.pictures.painters import draw_views
from tests.support.croc_models import SIZE, croc_config, save_croc
from tests.support.hsg_models import save_hsg
from tests.support.images import smooth_image

IMAGE = smooth_image(64, 96)


def test_every_kind_of_model_gives_what_it_can(tmp_path):
    want = {
        str(save_croc(tmp_path)[1]): ['pca', 'clusters', 'attention'],
        str(save_hsg(tmp_path)[1]): ['pca', 'hierarchy'],
        'rgb': ['pca'],
        'random:deit-tiny/16': ['pca', 'clusters', 'attention'],
    }
    for checkpoint, kinds in want.items():
        model = init_model(None, checkpoint)
        assert available_kinds(model) == kinds
        painters = build_painters(model, longer_side=96)
        assert list(painters) == kinds
        example = draw_views(IMAGE, training_views(None, checkpoint)[0], 0)
        if 'pca' in painters:
            painters['pca'].update(example)
            painters['pca'].fit()
        for painter in painters.values():
            assert painter.paint(example)


def test_segments_that_are_regions_are_no_hierarchy_here(tmp_path):
    model = init_model(None, save_hsg(tmp_path, num_groups=(), grid=(1, 1))[1])
    assert available_kinds(model) == ['pca']
    with pytest.raises(ValueError, match=r'hierarchy needs an HSG.*can give: pca$'):
        build_painters(model, ['pca', 'hierarchy'])


def test_hierarchy_has_a_picture_of_each_level(tmp_path):
    model = init_model(None, save_hsg(tmp_path)[1])
    pictures = build_painters(model, ['hierarchy'], 96)['hierarchy']
    example = draw_views(IMAGE, training_views(None, 'rgb')[0], 0)
    assert list(pictures.paint(example)) == ['segments', 'level_1', 'level_2']


def test_views_and_clustering_are_the_checkpoints_own(tmp_path):
    trained, path = save_croc(tmp_path, position_weight=2.5)
    views, clustering = training_views(None, str(path))
    assert (views.size, views.scale) == (SIZE, (0.3, 0.6))
    assert clustering.settings == trained.target_generator.settings
    assert clustering.settings['position_weight'] == 2.5
    views, clustering = training_views(
        None, str(path), dict(scale=[0.5, 1.0]), dict(feature='q', max_clusters=3)
    )
    assert (views.size, views.scale) == (SIZE, (0.5, 1.0))
    assert clustering.feature == 'q' and clustering.settings['max_clusters'] == 3


def test_a_checkpoint_without_config_gets_the_releases_or_the_config_given(tmp_path):
    trained, path = save_croc(tmp_path)
    torch.save(dict(state_dict=trained.state_dict()), path)
    views, clustering = training_views(None, str(path))
    assert (views.size, views.scale, views.view_transforms) == (224, (0.25, 1.0), [[], []])
    assert clustering.settings['num_start_clusters'] == 5
    (tmp_path / 'croc.py').write_text(Config(croc_config()).pretty_text)
    assert training_views(tmp_path / 'croc.py', str(path))[0].size == SIZE


def test_settings_that_there_are_not_are_named():
    with pytest.raises(ValueError, match='sise'):
        training_views(None, 'rgb', dict(sise=3))
    with pytest.raises(ValueError, match='max_clusters must be between'):
        training_views(None, 'rgb', None, dict(max_clusters=1))
