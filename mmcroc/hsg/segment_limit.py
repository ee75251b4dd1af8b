"""A limit on a number that only the device knows, checked without waiting for it."""

from collections import deque
from typing import Any

import torch
from torch import Tensor


class DeferredLimit:
    """Raise when a value exceeds a limit: at once on a CPU, some steps later on a GPU.

    A GPU's values are copied to the host asynchronously and looked at when they have arrived.

    Args:
        limit: Greatest value allowed; None for no limit.
        message: Template of the error, with ``{value}``, ``{limit}`` and names of ``details``.
        **details: Further values of the template.
    """

    #: Values that may be on their way before the oldest is waited for.
    MAX_PENDING = 32

    def __init__(self, limit: int | None, message: str, **details: Any):
        self.limit, self.message, self.details = limit, message, details
        self.pending: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def check(self, value: Tensor) -> None:
        """Look at what has arrived, and send a scalar on its way.

        Raises:
            ValueError: A value was above the limit.
        """
        if self.limit is None:
            return
        if value.device.type == 'cpu':
            self._compare(value)
            return
        while self.pending and (len(self.pending) > self.MAX_PENDING or self.pending[0][1].query()):
            self._compare_oldest()
        copy = torch.empty_like(value, device='cpu', pin_memory=True)
        copy.copy_(value, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending.append((copy, event))

    def wait(self) -> None:
        """Look at all values that are still on their way.

        Raises:
            ValueError: A value was above the limit.
        """
        while self.pending:
            self._compare_oldest()

    def _compare_oldest(self) -> None:
        """Wait for the value that was sent first, and compare it."""
        copy, event = self.pending.popleft()
        event.synchronize()
        self._compare(copy)

    def _compare(self, value: Tensor) -> None:
        """Refuse a value above the limit."""
        if self.limit is not None and value > self.limit:
            raise ValueError(
                self.message.format(value=int(value), limit=self.limit, **self.details)
            )
