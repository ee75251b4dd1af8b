"""Post-training: heads that learn alone at first, and frozen blocks that run once for both."""

import contextlib
import itertools

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from mmcroc.croc.optim_wrapper import SelfDistillOptimWrapper
from mmcroc.registry import MODELS
from tests.support.croc_models import croc_config
from tests.support.devices import ON_DEVICES, no_waiting

BLOCKS, TRAINED = 4, 2
DINOV3 = dict(
    type='mmcroc.TimmVisionTransformer', model_name='vit_small_patch16_dinov3_qkvb',
    pretrained=False, settings=dict(embed_dim=24, depth=BLOCKS, num_heads=2, patch_size=8),
)  # fmt: skip


def build(backbone=None, clusters=True, **settings):
    """A tiny CrOC of 4 blocks, student and teacher alike and far from their start."""
    init_default_scope('mmpretrain')
    model = croc_config()['model']
    model['backbone']['arch']['num_layers'] = BLOCKS
    if backbone is not None and 'type' in backbone:
        model['backbone'] = backbone
    else:
        model['backbone'].update(backbone or {})
    if not clusters:
        model['target_generator'] = None
        for part in ('neck', 'head'):
            model[part]['num_cluster_prototypes'] = 0
    torch.manual_seed(0)
    built = MODELS.build(dict(model, **settings))
    built.init_weights()
    with torch.no_grad():
        for student, teacher in built.student_teacher_pairs('backbone'):
            student += 0.2 * torch.randn_like(student)
            teacher.copy_(student)
    return built.train()


def loss_of(model, **settings):
    views = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([0.0, 0.0, 32.0, 32.0, 0.0]).expand(2, 3, 5)
    torch.manual_seed(0)  # of the seeds that clustering draws
    return model(views, None, mode='loss', view_boxes=boxes, **settings)


def gradients(model):
    sum(value for name, value in loss_of(model).items() if 'loss' in name).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@contextlib.contextmanager
def training(iterations):
    """Tell models how far training is, as a Runner does."""
    hub = MessageHub.get_instance('post-training')
    try:
        yield lambda done: hub.update_info_dict(
            dict(loop_stage='train', iter=done, max_iters=iterations, epoch=done, max_epochs=100)
        )
    finally:
        hub.pop_info('loop_stage')


def train(model, iterations, optimizer=None):
    """Take steps; gives the optimiser and the parameters before each step and after the last."""
    optimizer = optimizer or torch.optim.AdamW(model.learning_parameters(), lr=1e-2)
    states = []
    with training(iterations) as tell:
        for done in range(iterations):
            states.append({name: p.detach().clone() for name, p in model.named_parameters()})
            tell(done)
            optimizer.zero_grad()
            gradients(model)
            optimizer.step()
    states.append({name: p.detach().clone() for name, p in model.named_parameters()})
    return optimizer, states


def moved(before, after, prefix):
    return {name for name in before if name.startswith(prefix)
            and not torch.equal(before[name], after[name])}  # fmt: skip


BACKBONES = {
    'ViT': {},
    'registers, layer scale': dict(num_registers=3, layer_scale_init_value=0.5),
    'DINOv3': DINOV3,
}


@pytest.mark.parametrize('clusters', [True, False], ids=['CrOC', 'DINO'])
@pytest.mark.parametrize('backbone', BACKBONES.values(), ids=BACKBONES)
def test_frozen_blocks_that_run_once_change_neither_losses_nor_gradients(backbone, clusters):
    plain, shared = build(backbone, clusters), build(backbone, clusters, trained_blocks=TRAINED)
    shared.load_state_dict(plain.state_dict())
    losses, same = loss_of(plain), loss_of(shared)
    assert losses.keys() == same.keys() and ('loss_cluster' in losses) == clusters
    for name, value in losses.items():
        torch.testing.assert_close(same[name], value, msg=name)
    want, got = gradients(plain), gradients(shared)
    trained = {name for name, p in shared.named_parameters() if p.requires_grad}
    assert set(got) == trained < set(want)
    assert {name.split('.')[0] for name in trained} == {'backbone', 'neck'}
    for name in trained:
        torch.testing.assert_close(got[name], want[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize('trained_blocks', [None, TRAINED])
@pytest.mark.parametrize('clusters', [True, False], ids=['CrOC', 'DINO'])
def test_a_teacher_may_see_other_views_than_the_student(clusters, trained_blocks):
    """Each network gets its own views, all the way: seen at the first and at the last block."""
    model = build(clusters=clusters, trained_blocks=trained_blocks)
    clean, same = torch.ones(6, 3, 32, 32), loss_of(model)
    entered = {}
    for name, network in (('student', model.backbone), ('teacher', model.teacher['backbone'])):
        network.layers[-1].register_forward_pre_hook(
            lambda _, inputs, name=name: entered.update({name: inputs[0]})
        )
    losses = loss_of(model, teacher_inputs=clean)
    student, teacher = entered['student'], entered['teacher']
    assert torch.equal(teacher[0], teacher[-1]) and not torch.equal(student[0], student[-1])
    assert not torch.equal(losses['loss_image'], same['loss_image'])
    loss_of(model)
    torch.testing.assert_close(entered['student'], student)  # of its own views, as ever


@pytest.mark.parametrize('backbone', [{}, DINOV3], ids=['ViT', 'DINOv3'])
def test_a_frozen_block_runs_once_for_student_and_teacher(backbone):
    """By the teacher's, which has no stochastic depth."""
    model, calls = build(backbone, trained_blocks=TRAINED), []
    for name, network in (('student', model.backbone), ('teacher', model.teacher['backbone'])):
        blocks = network.layers if hasattr(network, 'layers') else network.model.blocks
        for index, block in enumerate(blocks):
            block.register_forward_pre_hook(
                lambda _, inputs, who=(name, index): calls.append((*who, len(inputs[0])))
            )
    loss_of(model)
    first, last = range(BLOCKS - TRAINED), range(BLOCKS - TRAINED, BLOCKS)
    assert calls == [
        *(('teacher', index, 6) for index in first),
        *(('teacher', index, 6) for index in last),
        *(('student', index, 6) for index in last),
    ]


@pytest.mark.parametrize('backbone', [{}, DINOV3], ids=['ViT', 'DINOv3'])
def test_only_the_last_blocks_and_the_final_norm_move(backbone):
    model = build(backbone, trained_blocks=TRAINED)
    optimizer, (before, *_, after) = train(model, 3)
    changed = moved(before, after, 'backbone.')
    layer = 'model.blocks' if backbone else 'layers'
    starts = {f'backbone.{layer}.{i}.' for i in (2, 3)} | (
        {'backbone.model.norm.'} if backbone else {'backbone.ln1.'}
    )
    assert changed and all(name.startswith(tuple(starts)) for name in changed)
    assert all(any(name.startswith(start) for name in changed) for start in starts)
    assert moved(before, after, 'teacher.backbone.') == {f'teacher.{name}' for name in changed}
    for student, teacher in model.student_teacher_pairs('backbone'):
        if not student.requires_grad:
            assert torch.equal(student, teacher) and student not in optimizer.state


def test_the_backbone_waits_while_the_heads_learn():
    model = build(trained_blocks=TRAINED, freeze_backbone_share=0.5, freeze_last_layer_epochs=0)
    optimizer = torch.optim.AdamW(model.learning_parameters(), lr=1e-2)
    _, states = train(model, 4, optimizer)
    for step, (before, after) in enumerate(itertools.pairwise(states)):
        assert bool(moved(before, after, 'backbone.')) == (step >= 2)
        assert bool(moved(before, after, 'teacher.backbone.')) == (step >= 2)
        assert moved(before, after, 'neck.') and moved(before, after, 'teacher.neck.')
    tail = next(p for p in model.backbone.parameters() if p.requires_grad)
    assert optimizer.state[tail]['step'] == 2  # neither moments nor decay before
    assert optimizer.state[next(model.neck.parameters())]['step'] == 4


def test_fresh_heads_of_the_teacher_may_follow_faster_than_its_backbone():
    model = build(teacher_momentum=0.9, teacher_neck_momentum=0.5, freeze_last_layer_epochs=0)
    optimizer = torch.optim.SGD(model.learning_parameters(), lr=1.0)
    _, (before, after) = train(model, 1, optimizer)
    for name in after:
        if name.startswith('teacher.'):
            own, share = name.removeprefix('teacher.'), 0.1 if 'backbone' in name else 0.5
            want = before[name].lerp(after[own], share)
            torch.testing.assert_close(after[name], want, rtol=0, atol=1e-7, msg=name)


def test_a_teacher_with_other_frozen_blocks_is_refused():
    model = build(trained_blocks=TRAINED)
    with torch.no_grad():
        model.teacher['backbone'].layers[0].ln1.weight += 1
    with pytest.raises(ValueError, match=r'weights differ: start both from one backbone'):
        train(model, 1)
    free = build()
    with torch.no_grad():
        free.teacher['backbone'].layers[0].ln1.weight += 1
    train(free, 2)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(trained_blocks=0), r'trained_blocks must be between 1 and the 4 blocks.*got 0'),
        (dict(trained_blocks=5), r'trained_blocks must be between 1 and the 4 blocks.*got 5'),
        (dict(freeze_backbone_share=2), r'freeze_backbone_share must be in \[0, 1\], got 2'),
        (dict(teacher_neck_momentum=-1), r'teacher_neck_momentum must be in'),
        (
            dict(backbone=dict(type='mmpretrain.ResNet', depth=18)),
            r'a ResNet has no \[CLS\] and no keys of attention; model.backbone.type must be',
        ),
        (
            dict(backbone=dict(DINOV3, settings=dict(DINOV3['settings'], embed_dim=32))),
            r'have 32 channels, but the neck takes 24: set model.neck.in_channels=32',
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


@ON_DEVICES
def test_a_post_training_step_never_waits_for_the_device(device):
    model = build(trained_blocks=TRAINED, freeze_backbone_share=0.5).to(device)
    optimizer = torch.optim.SGD(model.learning_parameters(), lr=0.1)
    wrapper = SelfDistillOptimWrapper(optimizer, max_tensor_norm=3.0, amp_dtype='bfloat16')
    box = np.array([[0, 0, 32, 32, 0]] * 2, dtype=np.float32)
    with training(4) as tell:
        for done in range(4):
            tell(done)
            views = torch.randint(256, (2, 3, 3, 32, 32), dtype=torch.uint8)
            samples = [DataSample(metainfo=dict(view_boxes=box)) for _ in range(3)]
            # The first step looks once whether the frozen blocks are alike.
            with no_waiting(device) if done else contextlib.nullcontext():
                losses = model.train_step(dict(inputs=list(views), data_samples=samples), wrapper)
    assert all(value.isfinite() for value in losses.values())
