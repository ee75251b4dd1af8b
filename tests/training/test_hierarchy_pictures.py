"""Pictures of the hierarchy while it is learned."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mmcroc.data.oversegmented import OversegmentedImages
from mmcroc.data.synthetic_scenes import SyntheticScenes
from mmcroc.training import pictures as training_pictures
from mmcroc.training.launch import prepare_cpu_ranks
from mmcroc.training.pictures import HierarchyPicturesHook, fixed_images
from tests.support.paths import CONFIGS
from tests.support.picture_runs import generator_states, modes, pictures, small_run, train
from tests.support.processes import on_two_ranks

VIEWS = [
    dict(type='mmcroc.TwoViewsWithRegions', size=32, scale=(0.5, 1.5)),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]


def small_config(work_dir, **options):
    """The demo's config, tiny: 4 iterations of 2 images of 32 pixels."""
    cfg = small_run('hsg_r18_scenes.py', work_dir)
    cfg.train_dataloader.dataset.pipeline[0].grid = (3, 3)
    cfg.train_dataloader.dataset.pipeline[1].size = 32
    cfg.merge_from_dict(
        {
            'model.backbone.base_channels': 8,
            'model.neck': dict(in_channels=64, hidden_channels=16, out_channels=16),
            'model.head': dict(transformer=dict(channels=16), grid=(2, 2), kmeans_iterations=2),
            'train_dataloader.dataset.image_size': 32,
            'train_cfg.max_iters': 4,
            'default_hooks.hierarchy_pictures': dict(interval=3, num_images=2),
            **options,
        }
    )
    return cfg


@pytest.mark.parametrize('by_epoch', [False, True])
def test_training_goes_on_as_if_there_were_no_hook(tmp_path, by_epoch):
    """Pictures before it, during it and at its end; weights and statistics are the same bits."""

    def weights(name, hook):
        cfg = small_config(tmp_path / name)
        if by_epoch:
            cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
            cfg.train_dataloader.sampler.type = 'mmcroc.EpochSampler'
        cfg.default_hooks.hierarchy_pictures.interval = 2
        if not hook:
            cfg.default_hooks.pop('hierarchy_pictures')
        return train(cfg).model.state_dict()

    ours, theirs = weights('with', True), weights('without', False)
    assert pictures(tmp_path / 'with') == [f'hierarchy_00000{i}.png' for i in (0, 2, 4)]
    assert not (tmp_path / 'without' / 'pictures').exists()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_painting_leaves_generators_and_modes_alone(tmp_path):
    """Each module's own mode: here one that does not follow its model."""
    runner = Runner.from_cfg(small_config(tmp_path / 'run'))
    hook = HierarchyPicturesHook(num_images=2)
    model = runner.model.train()
    model.neck.eval()

    runner._train_loop = runner.build_train_loop(runner._train_loop)
    before = generator_states(), modes(model)
    hook.before_train(runner)
    assert pictures(tmp_path / 'run') == ['hierarchy_000000.png']
    assert (generator_states(), modes(model)) == before


def test_the_same_images_are_shown_throughout_and_in_the_visualiser(tmp_path):
    """A row of each image; the first column never changes, the groups do."""
    train(small_config(tmp_path / 'run', **{'optim_wrapper.optimizer.lr': 0.5}))
    assert pictures(tmp_path / 'run') == [f'hierarchy_00000{i}.png' for i in (0, 3, 4)]
    first, *others = (
        np.asarray(Image.open(tmp_path / 'run' / 'pictures' / name))
        for name in pictures(tmp_path / 'run')
    )
    assert first.shape == (16 + 2 * 244, 5 * 244, 3)
    for other in others:
        np.testing.assert_array_equal(other[:, : 2 * 244], first[:, : 2 * 244])
        assert (other != first).any()
    for iteration, sheet in zip((0, 3, 4), (first, *others), strict=True):
        (path,) = (tmp_path / 'run').glob(f'*/vis_data/vis_image/hierarchy_{iteration}.png')
        np.testing.assert_array_equal(np.asarray(Image.open(path)), sheet)


class StopEarly(Hook):
    """As a hook may that has seen enough."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.train_loop.stop_training = runner.iter + 1 == 2


def test_a_training_that_stops_early_ends_with_a_picture_and_resumes_without(tmp_path):
    every = {'default_hooks.checkpoint.interval': 2}
    train(small_config(tmp_path / 'run', **every), StopEarly())
    assert pictures(tmp_path / 'run') == ['hierarchy_000000.png', 'hierarchy_000002.png']
    for path in (tmp_path / 'run' / 'pictures').iterdir():
        path.unlink()
    train(small_config(tmp_path / 'run', resume=True))
    assert pictures(tmp_path / 'run') == ['hierarchy_000003.png', 'hierarchy_000004.png']


def test_images_are_spread_over_the_set_and_loaded_as_in_training():
    """What comes before the views is done (the watershed), colours and chance are left out."""
    watershed = dict(type='mmcroc.WatershedOversegmentation', grid=(3, 3))
    dataset = SyntheticScenes(num_images=9, image_size=32, pipeline=[watershed, *VIEWS])
    images = fixed_images(dataset, 3)
    assert len(images) == 3
    raw = SyntheticScenes(num_images=9, image_size=32, pipeline=[watershed])
    for (img, regions), index in zip(images, (0, 3, 6), strict=True):
        np.testing.assert_array_equal(img, raw[index]['img'])
        np.testing.assert_array_equal(regions, raw[index]['oversegmentation'])
    assert len(fixed_images(dataset, 20)) == 9
    assert dataset[0].keys() == {'inputs', 'data_samples', 'oversegmentation'}


def test_prepared_maps_are_shown_at_their_images_aspect(tmp_path):
    for folder in ('images', 'maps'):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / 'images/a.png')
    regions = np.repeat([[7] * 30 + [900] * 30], 40, axis=0).astype(np.uint16)
    Image.fromarray(regions).save(tmp_path / 'maps/a.png')
    dataset = OversegmentedImages(
        tmp_path, 'maps', folders=['images'], pipeline=VIEWS, replace_unreadable=False
    )
    ((img, shown),) = fixed_images(dataset, 4)
    assert img.shape == (21, 32, 3)
    np.testing.assert_array_equal(shown, np.repeat([[7] * 16 + [900] * 16], 21, axis=0))


@pytest.mark.parametrize('setting', [dict(interval=0), dict(interval=1.5), dict(num_images=0)])
def test_bad_settings_are_named(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=rf'HierarchyPicturesHook\.{name} must be.*is {value}'):
        HierarchyPicturesHook(**setting)


def test_a_pipeline_without_regions_and_a_model_without_hierarchy_are_named(tmp_path):
    dataset = SyntheticScenes(pipeline=[dict(type='mmseg.PackSegInputs')])
    with pytest.raises(ValueError, match=r"TwoViewsWithRegions, but .*\['PackSegInputs'\]"):
        fixed_images(dataset, 2)

    class runner:
        model = torch.nn.Linear(1, 1)

    with pytest.raises(TypeError, match=r'Linear has not; set default_hooks\.hierarchy_pic'):
        HierarchyPicturesHook().before_train(runner)


@pytest.mark.parametrize('name', ['coco_stage1', 'coco_stage2', 'cityscapes', 'kitti-step', 'bsds'])
def test_configs_with_groups_have_the_hook(name):
    cfg = Config.fromfile(CONFIGS / f'hsg_r50_{name}.py')
    hook = cfg.default_hooks.get('hierarchy_pictures')
    assert bool(hook) == bool(cfg.model.head.num_groups)
    if hook:
        assert 4 <= cfg.train_cfg.max_iters / hook.interval <= 40


def paint_and_train(_, work_dir):
    """How many pictures this rank paints."""
    cfg = small_config(work_dir, **{'train_cfg.max_iters': 2})
    cfg.default_hooks.hierarchy_pictures.interval = 1
    cfg.launcher = 'pytorch'
    prepare_cpu_ranks(cfg)
    assert cfg.model.head.max_segments is None  # the ranks have to agree on the width
    painted = []
    paint = training_pictures.overlay_sheet
    training_pictures.overlay_sheet = lambda *args: painted.append(1) or paint(*args)
    Runner.from_cfg(cfg).train()
    return len(painted)


def test_of_two_ranks_one_paints_and_none_waits_for_ever(tmp_path):
    assert on_two_ranks(paint_and_train, tmp_path) == [3, 0]
    assert pictures(tmp_path) == [f'hierarchy_00000{i}.png' for i in (0, 1, 2)]
