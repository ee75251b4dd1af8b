"""A step of HSG's losses never waits for the device."""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmcroc.hsg.segment_limit import DeferredLimit
from tests.hsg.test_hsg_head import build, draw, total


class NoWaiting(TorchDispatchMode):
    """Fails where a GPU's host would wait for a number or for a number of entries."""

    WAITING = ('local_scalar_dense', 'nonzero', 'masked_select', 'unique', 'bincount', 'equal')

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix('aten::').split('.')[0].strip('_')
        assert not name.startswith(self.WAITING), name
        if name in ('index', 'index_put', 'index_put_impl'):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            assert not masks, f'{name} by a boolean mask'
        assert name != 'repeat_interleave', 'repeat_interleave by a tensor'
        return function(*args, **(kwargs or {}))


@pytest.fixture
def meta_device(monkeypatch):
    """A device without numbers, where the code takes a GPU's branches; autocast lacks it."""
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: contextlib.nullcontext())
    # On a CPU the limit is compared at once; on a GPU it is copied aside.
    monkeypatch.setattr(DeferredLimit, 'check', lambda self, value: None)
    return lambda x: x.detach().to('meta').requires_grad_(x.requires_grad)


@pytest.mark.parametrize('num_groups', [[], [4, 2]])
@pytest.mark.parametrize('grid', [(1, 1), (2, 2)])
@pytest.mark.parametrize('norm', ['LN', 'BN1d'])
def test_a_step_asks_the_device_for_nothing(meta_device, num_groups, grid, norm):
    head = build(dict(type=norm), max_segments=256, grid=grid, num_groups=num_groups).to('meta')
    with NoWaiting():
        total(head.loss(*map(meta_device, draw()))).backward()


def test_tables_as_wide_as_needed_ask_the_device(meta_device):
    head = build(max_segments=None).to('meta')
    with pytest.raises(AssertionError, match='local_scalar_dense'), NoWaiting():
        head.loss(*map(meta_device, draw()))


def test_the_watch_for_waiting_sees_it():
    x = torch.arange(3.0)
    asking = (
        x.sum().item, x.nonzero, x.unique, lambda: x[x > 1], lambda: bool(x[0]),
        lambda: x.masked_select(x > 1),
    )  # fmt: skip
    for ask in asking:
        with pytest.raises(AssertionError), NoWaiting():
            ask()
