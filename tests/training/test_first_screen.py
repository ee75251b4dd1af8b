"""What a run says of its length soon after its start."""

from types import SimpleNamespace

import pytest

from mmcroc.training import first_screen
from mmcroc.training.first_screen import FirstScreenHook


@pytest.mark.parametrize(
    ('seconds', 'said'),
    [(0.1, '0.1 s an iteration: about 99 s to go'), (1.0, '1 s an iteration: about 16.5 min to go'),
     (90, '90 s an iteration: about 24.8 h to go')],
)  # fmt: skip
@pytest.mark.parametrize('first', [0, 500])
def test_the_time_left_is_that_of_measured_iterations_and_said_once(
    monkeypatch, seconds, said, first
):
    lines = []
    runner = SimpleNamespace(max_iters=first + 1000, logger=SimpleNamespace(info=lines.append))
    hook = FirstScreenHook()
    hook.began, hook.first = 0.0, first
    for done in range(1000):
        # The first iterations are slow and do not count.
        now = 1000 + seconds * done
        monkeypatch.setattr(first_screen.time, 'perf_counter', lambda now=now: now)
        runner.iter = first + done
        hook.after_train_iter(runner, done)
    assert [line.removesuffix(', without evaluations') for line in lines] == [said]


def test_nothing_is_said_of_a_run_that_is_nearly_over():
    lines = []
    runner = SimpleNamespace(max_iters=12, logger=SimpleNamespace(info=lines.append))
    hook = FirstScreenHook()
    hook.began, hook.first = 0.0, 0
    for runner.iter in range(12):
        hook.after_train_iter(runner, runner.iter)
    assert lines == []
