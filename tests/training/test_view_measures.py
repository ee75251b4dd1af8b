"""Measures of training that need no labels."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcroc.croc.assignments import cluster_representations
from mmcroc.training.launch import start
from mmcroc.training.view_measures import ViewMeasuresHook, cluster_agreement, view_measures
from tests.support.croc_models import build_croc
from tests.support.paths import CONFIGS

NAMES = {f'views/{name}' for name in ('effective_rank', 'mean_cosine', 'entropy_image')}
CLUSTERS = {'views/entropy_cluster', 'views/cluster_agreement'}
BOXES = torch.tensor([0.0, 0.0, 32.0, 32.0, 0.0]).expand(2, 3, 5)


def run(work_dir, **settings):
    """Train the demo on eight scenes for two epochs without a validation; gives the runner."""
    cfg = Config.fromfile(CONFIGS / 'croc_vit-t_scenes.py')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    loader = dict(batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.update(loader)
    prototypes = dict(num_prototypes=16, num_cluster_prototypes=16)
    cfg.model.neck.update(prototypes), cfg.model.head.update(prototypes)
    cfg.train_dataloader.dataset.num_images = 8
    cfg.default_hooks.token_pictures = None
    cfg.default_hooks.view_measures = dict(type='mmcroc.ViewMeasuresHook', num_images=3)
    cfg.update(
        work_dir=str(work_dir),
        experiment_name=f'views_{work_dir.name}',
        log_level='WARNING',
        randomness=dict(seed=0),
        train_cfg=dict(cfg.train_cfg, max_epochs=2, val_interval=1),
    )
    cfg.merge_from_dict(settings)
    with start(cfg) as runner:
        runner.train()
    return runner


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    return run(tmp_path_factory.mktemp('measured'))


def curves(runner):
    scalars = runner.message_hub.log_scalars
    return {
        name.removeprefix('val/'): list(buffer.data[0])
        for name, buffer in scalars.items()
        if name.startswith('val/views/')
    }


def test_a_run_without_validation_is_measured_before_meanwhile_and_at_the_end(measured):
    found = curves(measured)
    assert found.keys() == NAMES | CLUSTERS
    assert {len(values) for values in found.values()} == {3}
    assert len(set(found['views/effective_rank'])) == 3


def test_training_is_the_same_with_and_without(measured, tmp_path):
    plain = run(tmp_path, **{'default_hooks.view_measures': None})
    assert not curves(plain)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, measured.model.state_dict()[name]), name


def test_dino_has_no_clusters_to_measure(tmp_path):
    found = curves(run(tmp_path, **{
        'model.target_generator': None, 'model.neck.num_cluster_prototypes': 0,
        'model.head.num_cluster_prototypes': 0,
    }))  # fmt: skip
    assert found.keys() == NAMES


def test_the_same_views_measure_the_same_and_as_the_loss_logs():
    model, views = build_croc().eval(), torch.randn(6, 3, 32, 32)
    first = view_measures(model, views, BOXES)
    torch.manual_seed(9)
    state = torch.get_rng_state()
    assert view_measures(model, views, BOXES) == first
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    logged = model.loss(views, None, BOXES)
    logged |= {name.removeprefix('teacher_'): value for name, value in model.diagnostics().items()}
    for name, value in first.items():
        if name != 'cluster_agreement':
            torch.testing.assert_close(value, logged[name], msg=name)


def test_agreement_counts_clusters_that_are_nearest_to_themselves():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, 3, 2, 5, 4, generator=generator), dim=-1)
    valid = torch.rand(3, 2, 5, generator=generator) < 0.8
    hits = 0
    for image, head in np.ndindex(3, 2):
        there = valid[image, head].nonzero()[:, 0].tolist()
        for here, other in (vectors[:, image, head], vectors.flip(0)[:, image, head]):
            for k in there:
                hits += max(there, key=lambda j, k=k, h=here, o=other: float(h[k] @ o[j])) == k
    assert float(cluster_agreement(vectors, valid)) == pytest.approx(50 * hits / int(valid.sum()))
    assert float(cluster_agreement(vectors[:1].expand(2, -1, -1, -1, -1), valid)) == 100


def test_tokens_that_follow_their_clusters_agree():
    plans = torch.zeros(2, 1, 1, 6, 3)
    plans[:, 0, 0, torch.arange(6), torch.arange(6) % 3] = 1.0
    tokens = torch.eye(3).repeat(2, 1)[None].expand(2, 1, 6, 3)
    valid, one = torch.ones(1, 1, 3, dtype=torch.bool), torch.ones(())
    alike = cluster_representations(plans, tokens, one)
    assert float(cluster_agreement(alike, valid)) == 100
    moved = torch.stack([tokens[0], tokens[1].roll(1, -1)])
    assert float(cluster_agreement(cluster_representations(plans, moved, one), valid)) == 0


def test_another_model_is_refused():
    with pytest.raises(TypeError, match=r'serves mmcroc.CrOC, not a Linear; set default_hooks'):
        ViewMeasuresHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1)))
