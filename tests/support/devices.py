"""Where a test runs, and whether its host waits there."""

import contextlib
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: A test's argument ``device``: a CPU, and a GPU for ``pytest -m gpu``.
ON_DEVICES = pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])


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


@contextlib.contextmanager
def no_waiting(device):
    """Fail if the host waits for a GPU inside; on a CPU, if it would for a GPU."""
    if device == 'cpu':
        with NoWaiting():
            yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            yield
    finally:
        torch.cuda.set_sync_debug_mode('default')
    waits = [str(w.message) for w in caught if 'synchroniz' in str(w.message)]
    assert not waits, f'{len(waits)} host synchronisations: {waits}'
