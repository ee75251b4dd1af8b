"""A limit on a number that only the device knows, checked without waiting for it."""

from collections import deque

import torch
from torch import Tensor


class DeferredLimit:
    """Raise when a value exceeds a limit: at once on a CPU, some steps later on a GPU.

    A GPU's values are copied to the host asynchronously and looked at when they have arrived.

    Args:
        limit: The greatest value allowed; None: no limit.
        message: Of the error, with ``{value}``, ``{limit}`` and the names of ``details``.
        **details: What else the message tells.
    """

    #: Values that may be on their way before the oldest is waited for.
    MAX_PENDING = 32

    def __init__(self, limit: int | None, message: str, **details):
        self.limit, self.message, self.details = limit, message, details
        self.pending = deque()

    def check(self, value: Tensor):
        """Look at what has arrived, and send a value on its way.

        Args:
            value: 0-dimensional.

        Raises:
            ValueError: A value was above the limit.
        """
        if self.limit is None:
            return
        if value.device.type == 'cpu':
            self._compare(value)
            return
        while self.pending and (len(self.pending) > self.MAX_PENDING or self.pending[0][1].query()):
            copy, event = self.pending.popleft()
            event.synchronize()
            self._compare(copy)
        copy = torch.empty_like(value, device='cpu', pin_memory=True)
        copy.copy_(value, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending.append((copy, event))

    def wait(self):
        """Look at all values that are still on their way; for the errors see :meth:`check`."""
        while self.pending:
            copy, event = self.pending.popleft()
            event.synchronize()
            self._compare(copy)

    def _compare(self, value):
        if value > self.limit:
            raise ValueError(
                self.message.format(value=int(value), limit=self.limit, **self.details)
            )
