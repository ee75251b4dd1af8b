"""CrOC's training against the released implementation's, iteration by iteration."""

import contextlib

import numpy as np
import pytest
from mmengine.hooks import Hook

from tests.support.released_training import recorded_runner, released_state


class StopAfter(Hook):
    """End training after some iterations: the schedules are of more than was recorded."""

    priority = 'LOWEST'

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iterations:
            raise KeyboardInterrupt


class Record(Hook):
    """Keep what each iteration was run with."""

    def __init__(self):
        self.lr, self.wd, self.norm, self.momentum = [], [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        groups = runner.optim_wrapper.optimizer.param_groups
        self.lr.append({group['lr'] for group in groups})
        self.wd.append({group['weight_decay'] for group in groups})

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        scalar = runner.message_hub.get_scalar
        self.norm.append(float(runner.optim_wrapper.log_vars['grad_norm_max_tensor']))
        self.momentum.append(scalar('train/teacher_momentum').current())


@pytest.mark.parity
def test_training_reproduces_the_released_one(recorded_croc_training, tmp_path):
    path = recorded_croc_training
    runner, rec = recorded_runner(path, tmp_path)
    num = runner.train_dataloader.dataset.recorded
    record = Record()
    runner.register_hook(record)
    runner.register_hook(StopAfter(num))
    with contextlib.suppress(KeyboardInterrupt):
        runner.train()

    with np.load(path) as want:
        model = runner.model
        assert len(record.lr) == num > 0
        for i in range(num):
            losses = model.history[i]
            assert losses['loss_image'].item() == pytest.approx(want[f'image_loss_{i}'], rel=1e-5)
            assert losses['loss_cluster'].item() == pytest.approx(
                want[f'centroid_loss_{i}'], rel=1e-5
            )
            chosen = losses['num_clusters'] * rec.batch * rec.heads
            valid = (losses['valid_clusters'] * chosen).item()
            assert valid == pytest.approx(want[f'num_valid_{i}'], rel=1e-6)
            assert record.norm[i] == pytest.approx(want[f'grad_norm_max_{i}'], rel=1e-4)
            assert list(record.lr[i]) == pytest.approx([want['lr'][i]], rel=1e-12)
            assert max(record.wd[i]) == pytest.approx(want['wd'][i], rel=1e-12)
            assert min(record.wd[i]) == 0
            assert record.momentum[i] == pytest.approx(want['mom'][i], rel=1e-12)
        np.testing.assert_allclose(model.head.center, want['center'], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            model.head.cluster_center, want['center_c'], rtol=1e-4, atol=1e-6
        )

    start = released_state(path, 'init')
    ours = model.state_dict()
    for group, prefix in (('final_student', ''), ('final_teacher', 'teacher.')):
        for name, final in released_state(path, group).items():
            bound = 1e-3 * (final - start[name]).abs().max() + 2.5e-7
            error = (ours[prefix + name] - final).abs().max()
            assert error <= bound, f'{prefix}{name}: off by {error:.2e}, allowed {bound:.2e}'
