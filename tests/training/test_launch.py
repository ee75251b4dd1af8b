"""The start of a run."""

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from mmcroc.training.launch import MMENGINE_HOOKS, leave_out_unset_hooks, start


def runner_of(cfg, folder):
    return Runner(
        nn.Linear(1, 1), str(folder), default_hooks=cfg.default_hooks, experiment_name=folder.name
    )


def names_of_hooks(runner):
    return {type(hook).__name__ for hook in runner.hooks}


def test_none_turns_off_any_hook_ours_or_mmengines(tmp_path):
    cfg = Config(
        dict(default_hooks=dict(fit_probes=None, logger=None, timer=dict(type='IterTimerHook')))
    )
    leave_out_unset_hooks(cfg)
    names = names_of_hooks(runner_of(cfg, tmp_path))
    assert 'IterTimerHook' in names and 'CheckpointHook' in names
    assert not names & {'LoggerHook', 'FitProbesHook'}


def test_mmengine_alone_refuses_it(tmp_path):
    """When this fails, MMEngine does it by itself."""
    with pytest.raises(AssertionError):
        runner_of(Config(dict(default_hooks=dict(fit_probes=None))), tmp_path)


def test_the_names_are_those_that_mmengine_registers_unasked(tmp_path):
    everything_off = Config(dict(default_hooks=dict.fromkeys(MMENGINE_HOOKS)))
    assert not names_of_hooks(runner_of(everything_off, tmp_path))


@pytest.mark.parametrize('cfg', [dict(), dict(default_hooks=None)])
def test_a_config_without_default_hooks_stays_as_it_is(cfg):
    leave_out_unset_hooks(got := Config(cfg))
    assert got.to_dict() == cfg


@RUNNERS.register_module()
class StandInRunner:
    """As a package of its own may bring; it keeps its config."""

    @classmethod
    def from_cfg(cls, cfg):
        made = cls()
        made.cfg = cfg
        return made


def test_a_run_reads_checkpoints_safely_and_leaves_mmengine_as_it_was():
    before = dict(CheckpointLoader._schemes)
    with pytest.raises(KeyboardInterrupt), start(Config(dict(runner_type='StandInRunner'))):
        assert CheckpointLoader._schemes[''].__module__ == 'mmcroc.training.checkpoints'
        assert CheckpointLoader._schemes['http://'].__module__ == 'mmcroc.training.checkpoints'
        assert CheckpointLoader._schemes['torchvision://'] is before['torchvision://']
        raise KeyboardInterrupt
    assert CheckpointLoader._schemes == before


def test_a_run_is_of_the_runner_that_the_config_names_without_unset_hooks():
    cfg = Config(dict(runner_type='StandInRunner', default_hooks=dict(fit_probes=None)))
    with start(cfg) as runner:
        assert isinstance(runner, StandInRunner)
        assert runner.cfg.default_hooks == {}
