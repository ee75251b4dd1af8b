"""Short runs that are interrupted and resumed."""

import contextlib

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner


class Interrupt(Hook):
    """Ctrl-C after an iteration, when its checkpoint has been written."""

    priority = 'LOWEST'

    def __init__(self, after):
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise KeyboardInterrupt


class Seen(Hook):
    """Keep what went in and came out of each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.seen = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        pixels = torch.cat(data_batch['inputs']).sum(dim=(1, 2, 3))
        index = [int(sample.sample_idx) for sample in data_batch['data_samples']]
        self.seen[runner.iter] = (index, pixels.tolist(), float(outputs['loss']))


def train(cfg, *hooks):
    runner = Runner.from_cfg(cfg)
    seen = Seen()
    for hook in (*hooks, seen):
        runner.register_hook(hook)
    with contextlib.suppress(KeyboardInterrupt):
        runner.train()
    # Else its workers are waited for, seconds each, whenever the garbage is collected.
    vars(runner.train_loop).pop('dataloader_iterator', None)
    return runner, seen.seen
