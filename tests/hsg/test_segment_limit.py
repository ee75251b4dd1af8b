"""An image with too many segments stops a run with one sentence, whatever runs it."""

import contextlib

import pytest
import torch
from mmengine.runner import Runner

import mmcroc  # noqa: F401
from mmcroc.hsg.segment_limit import DeferredLimit
from mmcroc.registry import MODELS
from tests.support.devices import ON_DEVICES, no_waiting
from tests.support.hsg_models import hsg_config

SENTENCE = r'HSGHead: an image has \d+ segments, but max_segments=20: raise model\.head\.max_seg'
SIDE = 64
OUR_HOOK = dict(type='mmcroc.DeferredRuntimeInfoHook')
STOCK_HOOK = dict(type='RuntimeInfoHook')


class LateEvent:
    """A copy from a device that has not arrived until it is waited for."""

    def __init__(self, value):
        self.value = value

    def query(self):
        return False

    def synchronize(self):
        self.value.fill_(7)


def test_waiting_looks_at_what_is_on_its_way():
    limit = DeferredLimit(6, '{value} of {unit}, but limit={limit}', unit='segments')
    limit.wait()
    value = torch.zeros(())
    limit.pending.append((value, LateEvent(value)))
    with pytest.raises(ValueError, match='7 of segments, but limit=6'):
        limit.wait()
    limit.wait()  # told once


@ON_DEVICES
def test_a_value_above_the_limit_is_told_without_waiting_for_others(device):
    limit = DeferredLimit(6, '{value} of {unit}, but limit={limit}', unit='segments')
    low, high = (torch.tensor(value, device=device) for value in (6, 7))
    with no_waiting(device) if device == 'cuda' else contextlib.nullcontext():
        for _ in range(DeferredLimit.MAX_PENDING // 2):
            limit.check(low)
    with pytest.raises(ValueError, match='7 of segments, but limit=6'):
        limit.check(high)
        limit.wait()
    assert not limit.pending


class NotYet:
    """The event of a copy that has not arrived before anyone waits for it."""

    def query(self):
        return False

    def synchronize(self):
        pass


class Arrived(NotYet):
    def query(self):
        return True


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """``as_on_a_gpu(event)``: values reach the host after their step, never at once."""

    def patch(event):
        def late_check(self, value):
            while self.pending and self.pending[0][1].query():
                self._compare(self.pending.popleft()[0])
            self.pending.append((value.detach().clone(), event()))

        monkeypatch.setattr(DeferredLimit, 'check', late_check)

    return patch


def samples(many_at, steps):
    """Two images a step; those of step ``many_at`` have 16 regions in each view, others one."""
    generator = torch.Generator().manual_seed(0)
    many = torch.arange(16).view(4, 4).repeat_interleave(16, 0).repeat_interleave(16, 1)
    for step in range(steps):
        regions = many if step == many_at else torch.zeros_like(many)
        for _ in range(2):
            views = torch.randint(256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
            yield dict(inputs=list(views), oversegmentation=torch.stack([regions, regions]))


def train(work_dir, many_at, steps=4, runtime_info=STOCK_HOOK, save_every=-1):
    """Train with MMEngine's own Runner, optimiser wrapper and hooks; gives the model."""
    cfg = hsg_config(grid=(1, 1))
    cfg['model']['head'].update(max_segments=20)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=dict(
            dataset=list(samples(many_at, steps)),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            num_workers=0,
        ),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=False, max_iters=steps),
        default_hooks=dict(
            runtime_info=runtime_info,
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=save_every),
        ),
        log_level='WARNING',
        default_scope='mmpretrain',
        experiment_name=f'{work_dir.name}_{many_at}_{save_every}',
    )
    try:
        runner.train()
    finally:
        train.reached = runner.iter
    return model


def finite(state):
    return all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize('runtime_info', [STOCK_HOOK, OUR_HOOK], ids=['stock', 'ours'])
def test_on_a_cpu_the_step_itself_stops(tmp_path, runtime_info):
    with pytest.raises(ValueError, match=SENTENCE):
        train(tmp_path, many_at=2, runtime_info=runtime_info)
    assert train.reached == 2


@pytest.mark.parametrize('runtime_info', [STOCK_HOOK, OUR_HOOK], ids=['stock', 'ours'])
def test_on_a_gpu_the_next_step_stops(tmp_path, as_on_a_gpu, runtime_info):
    """Our hook looks at the loss in the step itself: it must not blame the learning rate."""
    as_on_a_gpu(Arrived)
    with pytest.raises(ValueError, match=SENTENCE):
        train(tmp_path, many_at=1, runtime_info=runtime_info)
    assert train.reached == 2


@pytest.mark.parametrize('event', [Arrived, NotYet])
@pytest.mark.parametrize('runtime_info', [STOCK_HOOK, OUR_HOOK], ids=['stock', 'ours'])
def test_the_last_step_stops_the_run_and_nothing_is_saved(
    tmp_path, as_on_a_gpu, runtime_info, event
):
    as_on_a_gpu(event)
    with pytest.raises(ValueError, match=SENTENCE):
        train(tmp_path, many_at=3, runtime_info=runtime_info)
    assert not list(tmp_path.glob('*.pth'))


def test_checkpoints_are_of_steps_before_it(tmp_path, as_on_a_gpu):
    as_on_a_gpu(NotYet)
    with pytest.raises(ValueError, match=SENTENCE):
        train(tmp_path, many_at=2, save_every=1)
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=False)['state_dict']
    assert finite(saved)


def test_a_run_within_the_limit_goes_to_its_end(tmp_path, as_on_a_gpu):
    as_on_a_gpu(NotYet)
    model = train(tmp_path, many_at=None)
    assert finite(model.state_dict()) and (tmp_path / 'iter_4.pth').exists()
