"""CrOC as an algorithm of MMPretrain: its parts together."""

import contextlib

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmpretrain.models import VisionTransformer as MMPretrainVisionTransformer
from mmpretrain.structures import DataSample

from mmcroc.croc.algorithm import CrOC
from mmcroc.croc.optim_wrapper import SelfDistillOptimWrapper
from mmcroc.registry import MODELS
from tests.support.devices import ON_DEVICES, no_waiting

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def build(clusters=True, seed=0, **overrides) -> CrOC:
    init_default_scope('mmpretrain')
    levels = dict(num_prototypes=16, num_cluster_prototypes=12 if clusters else 0)
    cfg = dict(
        type='mmcroc.CrOC',
        backbone=dict(type='mmcroc.VisionTransformer', arch=ARCH, img_size=32, patch_size=8),
        neck=dict(
            type='mmcroc.CrOCNeck',
            in_channels=24,
            hidden_channels=32,
            bottleneck_channels=8,
            **levels,
        ),
        head=dict(type='mmcroc.CrOCHead', **levels),
        target_generator=dict(type='mmcroc.OnlineClustering', num_start_clusters=4, max_clusters=4)
        if clusters
        else None,
    )
    for path, value in overrides.items():
        part, _, field = path.partition('__')
        if field:
            cfg[part][field] = value
        else:
            cfg[part] = value
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def two_views(batch=3, size=32):
    g = torch.Generator().manual_seed(1)
    box = torch.tensor([0.0, 0.0, 32.0, 32.0, 0.0])
    return torch.randn(2 * batch, 3, size, size, generator=g), box.expand(2, batch, 5)


def loss_of(model, **kwargs):
    device = model.head.center.device
    views, boxes = (x.to(device) for x in two_views(**kwargs))
    torch.manual_seed(0)  # of the seeds' draw
    return model(views, None, mode='loss', view_boxes=boxes)


def test_cluster_loss_weight_0_is_dino():
    """Same image loss, same gradients, with the cluster level weighted 0 and left out."""
    croc, dino = build(head__cluster_loss_weight=0.0), build(clusters=False)
    shared = {k: v for k, v in croc.state_dict().items() if k in dino.state_dict()}
    dino.load_state_dict(shared)
    losses = loss_of(croc), loss_of(dino)
    assert losses[0]['loss_cluster'] == 0 and 'loss_cluster' not in losses[1]
    torch.testing.assert_close(losses[0]['loss_image'], losses[1]['loss_image'])
    for values in losses:
        sum(v for k, v in values.items() if 'loss' in k).backward()
    gradients = {name: p.grad for name, p in croc.named_parameters()}
    for name, parameter in dino.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('feature', ['q', 'k', 'v', 'tokens'])
def test_every_feature_can_be_clustered(feature):
    losses = loss_of(build(target_generator__feature=feature))
    assert losses['loss_cluster'].isfinite() and losses['num_clusters'] >= 2
    assert 0 < losses['valid_clusters'] <= 1


def test_the_teacher_takes_no_gradient_and_stays_in_eval():
    model = build(backbone__drop_path_rate=0.5).train()
    assert not model.teacher.training and model.backbone.training
    loss_of(model)['loss_cluster'].backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad is not None for p in model.neck.cluster_prototypes.parameters())


def test_features_are_the_teachers_tokens_as_a_map():
    model = build().eval()
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.zero_()
    (features,) = model(images)
    raw = model.teacher['backbone'](images)[0]
    assert features.shape == (2, 24, 4, 6)
    for row, column in ((0, 0), (1, 5), (3, 2)):
        assert torch.equal(features[..., row, column], raw[:, 1 + 6 * row + column])


def test_a_teacher_checkpoint_loads_into_mmpretrains_vit(tmp_path):
    """As users do it: init_cfg with a prefix."""
    model = build()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'epoch_1.pth')
    theirs = MMPretrainVisionTransformer(
        arch=ARCH,
        img_size=32,
        patch_size=8,
        out_type='raw',
        init_cfg=dict(
            type='Pretrained',
            checkpoint=str(tmp_path / 'epoch_1.pth'),
            prefix='teacher.backbone.',
        ),
    )
    theirs.init_weights()
    state = theirs.state_dict()
    want = model.teacher['backbone'].state_dict()
    assert state.keys() == want.keys()
    assert all(torch.equal(state[name], want[name]) for name in want)


def test_a_batch_without_a_valid_cluster_costs_nothing(monkeypatch):
    """It hardly occurs (plans are normalised within each view), so the clustering is told to."""
    model = build()
    cluster = model.target_generator.forward

    def without_valid(*args):
        found = cluster(*args)
        return found._replace(valid=found.valid & False)

    monkeypatch.setattr(model.target_generator, 'forward', without_valid)
    losses = loss_of(model)
    assert losses['valid_clusters'] == 0 and losses['loss_cluster'] == 0
    assert all(value.isfinite() for value in losses.values())
    losses['loss_cluster'].backward()
    assert not any(p.grad.any() for p in model.backbone.parameters() if p.grad is not None)
    assert not model.head.cluster_center.any() and model.head.center.any()


def test_one_image_is_a_batch():
    assert all(v.isfinite() for v in loss_of(build(), batch=1).values())


@ON_DEVICES
def test_bfloat16_stays_near_float32(device):
    """Which clusters are found may differ (tokens are rounded); the losses hardly do."""
    plain = loss_of(build().to(device))
    with torch.autocast(device, torch.bfloat16):
        rounded = loss_of(model := build().to(device))
        keys = model.backbone.forward_tapped(two_views()[0].to(device), 'k').attention
    assert keys.dtype == rounded['loss_image'].dtype == rounded['loss_cluster'].dtype
    assert keys.dtype == torch.float32
    for name in ('loss_image', 'loss_cluster'):
        torch.testing.assert_close(rounded[name], plain[name], rtol=0.02, atol=0)


@ON_DEVICES
def test_a_training_step_never_waits_for_the_device(device):
    """From the loader's batch to the teacher, with clipping and autocast."""
    model = build().to(device).train()
    optimizer = torch.optim.SGD(model.learning_parameters(), lr=0.1, momentum=0.9)
    wrapper = SelfDistillOptimWrapper(optimizer, max_tensor_norm=3.0, amp_dtype='bfloat16')
    student, teacher = model.student_teacher_pairs()[4]
    before = student.detach().clone(), teacher.clone()
    box = np.array([[0, 0, 32, 32, 0]] * 2, dtype=np.float32)
    hub = MessageHub.get_instance('waiting')
    try:
        for iteration in range(2):
            progress = dict(iter=iteration, max_iters=10, epoch=iteration, max_epochs=10)
            hub.update_info_dict(dict(loop_stage='train', **progress))
            views = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
            samples = [DataSample(metainfo=dict(view_boxes=box)) for _ in range(3)]
            # The first step makes what later ones find: momenta, libraries' handles.
            with no_waiting(device) if iteration else contextlib.nullcontext():
                losses = model.train_step(dict(inputs=list(views), data_samples=samples), wrapper)
    finally:
        hub.pop_info('loop_stage')
    assert all(value.isfinite() for value in losses.values())
    for now, then in zip((student, teacher), before, strict=True):
        assert not torch.equal(now, then)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(max_clusters=5), r'max_clusters must be between 2 and num_start_clusters=4, got 5'),
        (dict(max_clusters=1), r'max_clusters must be between'),
        (dict(num_start_clusters=1), r'num_start_clusters must be at least 2.*got 1'),
        (dict(sinkhorn_iterations=0), r'sinkhorn_iterations must be at least 1, got 0'),
        (dict(feature='keys'), r"feature='keys' is none of \('q', 'k', 'v', 'tokens'\)"),
        (dict(cost_scaling='image'), r"cost_scaling='image' is none of"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    overrides = {f'target_generator__{name}': value for name, value in settings.items()}
    with pytest.raises(ValueError, match=message):
        build(**overrides)


def test_more_seeds_than_tokens_are_refused():
    model = build(target_generator__num_start_clusters=40)
    with pytest.raises(ValueError, match=r'num_start_clusters=40.*32 tokens'):
        loss_of(model)


def test_clusters_without_prototypes_are_refused():
    with pytest.raises(ValueError, match=r'num_cluster_prototypes is 0'):
        build(neck__num_cluster_prototypes=0)


def test_views_of_another_size_are_refused():
    with pytest.raises(ValueError, match='TwoViews'):
        loss_of(build(), size=30)


def test_single_images_are_normalised_like_views():
    model = build(
        data_preprocessor=dict(
            type='mmcroc.TwoViewDataPreprocessor', mean=[10, 20, 30], std=[1, 2, 4]
        )
    )
    images = torch.full((2, 3, 8, 8), 50, dtype=torch.uint8)
    got = model.data_preprocessor(dict(inputs=images, data_samples=None))['inputs']
    assert got[0, :, 0, 0].tolist() == [40.0, 15.0, 5.0]
