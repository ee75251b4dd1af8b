"""Pictures of tokens, attention and clusters while they are learned."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization.vis_backend import BaseVisBackend, MLflowVisBackend
from PIL import Image

from mmcroc.training import pictures as training_pictures
from mmcroc.training.pictures import TokenPicturesHook
from tests.support.images import smooth_image, truncate, write_images
from tests.support.paths import CONFIGS
from tests.support.picture_runs import generator_states, modes, pictures, small_run, train


@VISBACKENDS.register_module()
class RecordingVisBackend(BaseVisBackend):
    """As W&B's or MLflow's: keeps what it is sent."""

    def __init__(self, save_dir=None):
        super().__init__(save_dir)
        self.images = []

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        self.images.append((name, step, image))

    def ignore(self, *args, **kwargs):
        pass

    add_config = add_graph = add_scalar = add_scalars = ignore


@VISBACKENDS.register_module()
class StandInMLflowVisBackend(MLflowVisBackend):
    """MMEngine's own, with a stand-in for the mlflow package: it saves under the name it gets."""

    class mlflow:
        MlflowException = RuntimeError
        folder = None

        @classmethod
        def log_image(cls, image, artifact_file):
            Image.fromarray(image).save(cls.folder / artifact_file)

    def __init__(self, save_dir, folder):
        super().__init__(save_dir)
        self.mlflow.folder = Path(folder)

    def _init_env(self):
        self._mlflow = self.mlflow

    def ignore(self, *args, **kwargs):
        pass

    add_config = add_graph = add_scalar = add_scalars = close = ignore


class Losses(Hook):
    """Keep what came out of each iteration, and a random number after it."""

    def before_train(self, runner):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append((outputs['loss'].item(), random.random(), float(torch.rand(()))))


def small_config(work_dir, **options):
    """The demo's config, tiny: 2 epochs of 2 iterations of 2 images of 32 pixels."""
    cfg = small_run('croc_vit-t_scenes.py', work_dir)
    cfg.train_dataloader.dataset.pipeline[0].size = 32
    levels = dict(num_prototypes=32, num_cluster_prototypes=16)
    cfg.merge_from_dict(
        {
            'model.backbone': dict(img_size=32, drop_path_rate=0.5),
            'model.backbone.arch': dict(
                embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48
            ),
            'model.neck': dict(in_channels=24, hidden_channels=32, bottleneck_channels=8, **levels),
            'model.head': levels,
            'train_dataloader.dataset.image_size': 40,
            'train_cfg': dict(max_epochs=2, val_interval=1),
            'default_hooks.token_pictures': dict(interval=1, num_images=2),
            **options,
        }
    )
    return cfg


def at(*iterations):
    return [f'tokens_{iteration:06d}.png' for iteration in iterations]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_training_goes_on_as_if_there_were_no_hook(tmp_path, by_epoch):
    """Pictures before it, during it and at its end; losses, draws and weights are the same bits."""

    def run(name, hook):
        cfg = small_config(tmp_path / name)
        cfg.default_hooks.token_pictures.by_epoch = by_epoch
        if not hook:
            cfg.default_hooks.pop('token_pictures')
        losses = Losses()
        return train(cfg, losses).model.state_dict(), losses.seen

    (ours, our_losses), (theirs, their_losses) = run('with', True), run('without', False)
    assert pictures(tmp_path / 'with') == (at(0, 2, 4) if by_epoch else at(0, 1, 2, 3, 4))
    assert not (tmp_path / 'without' / 'pictures').exists()
    assert len(our_losses) == 4 and our_losses == their_losses
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def loaded_hook(work_dir, **options):
    """A hook before training, and its runner."""
    runner = Runner.from_cfg(small_config(work_dir))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    return TokenPicturesHook(num_images=2, **options), runner


def test_painting_leaves_generators_and_modes_alone(tmp_path):
    """Each module's own mode: here one that does not follow its model."""
    hook, runner = loaded_hook(tmp_path / 'run')
    model = runner.model.train()
    model.neck.eval()

    before = generator_states(), modes(model)
    hook.before_train(runner)
    assert pictures(tmp_path / 'run') == at(0)
    assert (generator_states(), modes(model)) == before


def test_every_backend_of_the_visualiser_gets_the_same_sheet(tmp_path):
    """The local one's file and what any other is sent; images and crops never change."""
    backends = [dict(type='LocalVisBackend'), dict(type='RecordingVisBackend')]
    cfg = small_config(tmp_path / 'run')
    cfg.visualizer.vis_backends = backends
    cfg.param_scheduler = []  # at the schedule's start nothing would be learned
    runner = train(cfg)
    sent = runner.visualizer.get_backend('RecordingVisBackend').images
    assert [(name, step) for name, step, _ in sent] == [('tokens', i) for i in (0, 2, 4)]
    for _, step, sheet in sent:
        (local,) = (tmp_path / 'run').glob(f'*/vis_data/vis_image/tokens_{step}.png')
        for path in (local, tmp_path / 'run' / 'pictures' / at(step)[0]):
            np.testing.assert_array_equal(np.asarray(Image.open(path)), sheet)
    # Image, PCA, attention of 2 heads and their mean, crops, 2 views, their clusters.
    assert sent[0][2].shape == (16 + 2 * 244, 10 * 244, 3)
    fixed = [slice(0, 244), slice(5 * 244, 8 * 244)]
    for _, _, sheet in sent[1:]:
        for columns in fixed:
            np.testing.assert_array_equal(sheet[:, columns], sent[0][2][:, columns])
        assert (sheet != sent[0][2]).any()


def test_mlflow_keeps_the_picture_of_every_step(tmp_path):
    """It takes the name for the file's, and cannot save one without a suffix."""
    cfg = small_config(tmp_path / 'run')
    (tmp_path / 'mlflow').mkdir()
    backend = dict(type='StandInMLflowVisBackend', folder=str(tmp_path / 'mlflow'))
    cfg.visualizer.vis_backends = [backend]
    train(cfg)
    kept = sorted(path.name for path in (tmp_path / 'mlflow').iterdir())
    assert kept == pictures(tmp_path / 'run') == at(0, 2, 4)


class StopEarly(Hook):
    """As a hook may that has seen enough."""

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def test_a_training_that_stops_early_ends_with_a_picture_and_resumes_without(tmp_path):
    every = {'default_hooks.checkpoint.interval': 1, 'default_hooks.token_pictures.interval': 5}
    train(small_config(tmp_path / 'run', **every), StopEarly())
    assert pictures(tmp_path / 'run') == at(0, 2)
    for path in (tmp_path / 'run' / 'pictures').iterdir():
        path.unlink()
    train(small_config(tmp_path / 'run', **every, resume=True))
    assert pictures(tmp_path / 'run') == at(4)


def test_without_clusters_there_are_none_on_the_sheet(tmp_path):
    """DINO: image, PCA, attention."""
    cfg = small_config(tmp_path / 'run')
    cfg.model.target_generator = None
    cfg.model.neck.num_cluster_prototypes = cfg.model.head.num_cluster_prototypes = 0
    train(cfg)
    with Image.open(tmp_path / 'run' / 'pictures' / at(4)[0]) as sheet:
        assert sheet.width == 5 * 244


def test_images_may_come_from_a_folder(tmp_path):
    write_images(tmp_path / 'in', ['a.png', 'b.png', 'c.png'])
    hook, runner = loaded_hook(tmp_path / 'run', folder=str(tmp_path / 'in'))
    hook.before_train(runner)
    for example, seed in zip(hook.examples, (0, 1), strict=True):
        np.testing.assert_array_equal(example.image, smooth_image(seed=seed))
    truncate(tmp_path / 'in/a.png')
    with pytest.raises(RuntimeError, match=r'a\.png'):
        hook.before_train(runner)
    (tmp_path / 'empty').mkdir()
    hook, runner = loaded_hook(tmp_path / 'other', folder=str(tmp_path / 'empty'))
    with pytest.raises(ValueError, match=r'folder=.*empty.* has no images'):
        hook.before_train(runner)


def test_only_the_first_rank_computes(tmp_path, monkeypatch):
    hook, runner = loaded_hook(tmp_path / 'run')
    monkeypatch.setattr(training_pictures, 'is_main_process', lambda: False)
    monkeypatch.setattr(runner.model, 'extract_feat', None)
    hook.before_train(runner)
    hook.after_train(runner)
    assert not (tmp_path / 'run' / 'pictures').exists()


@pytest.mark.parametrize('setting', [dict(interval=0), dict(interval=1.5), dict(num_images=0)])
def test_bad_settings_are_named(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=rf'TokenPicturesHook\.{name} must be.*is {value}'):
        TokenPicturesHook(**setting)


def test_a_wrong_folder_head_pipeline_and_model_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"TokenPicturesHook\.folder='gone' is not a folder"):
        TokenPicturesHook(folder='gone')
    hook, runner = loaded_hook(tmp_path / 'run', heads=[2])
    with pytest.raises(ValueError, match='heads 0 to 1'):
        hook.before_train(runner)
    pipeline = runner.train_dataloader.dataset.pipeline
    pipeline.transforms = pipeline.transforms[1:]
    with pytest.raises(
        ValueError, match=r"mmcroc\.TwoViews, but SyntheticScenes has \['PackTwoViews'\]"
    ):
        hook.before_train(runner)

    class other:
        model = torch.nn.Linear(1, 1)

    with pytest.raises(TypeError, match=r'Linear has not; set default_hooks\.token_pictures=None'):
        hook.before_train(other)


SELF_DISTILLING = sorted(
    path.name for path in CONFIGS.glob('*.py') if path.name.startswith(('croc_', 'dino_'))
)


@pytest.mark.parametrize('name', SELF_DISTILLING)
def test_configs_have_the_hook(name):
    cfg = Config.fromfile(CONFIGS / name)
    interval = cfg.default_hooks.token_pictures.interval
    assert 2 <= cfg.train_cfg.max_epochs / interval <= 40
