"""Limits on numbers of the device."""

import pytest
import torch

from mmcroc.hsg.segment_limit import DeferredLimit


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
