"""The start of a run."""

import os
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner
from torch import nn
from yapf.yapflib import yapf_api

from mmcroc.training.checkpoints import TeacherWeightsHook
from mmcroc.training.launch import MMENGINE_HOOKS, fit_loaders, leave_out_unset_hooks, start
from tests.support.random_models import TINY, assert_same_weights, save, vit_config


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


def test_a_text_is_laid_out_once_in_a_run(monkeypatch):
    asked = []

    def lay_out(text, **style):
        asked.append(text)
        return text.upper(), True

    monkeypatch.setattr(yapf_api, 'FormatCode', lay_out)
    with start(Config(dict(runner_type='StandInRunner', a=1))) as runner:
        first, again = runner.cfg.pretty_text, runner.cfg.pretty_text
        runner.cfg.a = 2
        assert first == again == "A=1\nRUNNER_TYPE='STANDINRUNNER'"
        assert runner.cfg.pretty_text == "A=2\nRUNNER_TYPE='STANDINRUNNER'"
    assert len(asked) == 2 and yapf_api.FormatCode is lay_out


def test_a_run_is_of_the_runner_that_the_config_names_without_unset_hooks():
    cfg = Config(dict(runner_type='StandInRunner', default_hooks=dict(fit_probes=None)))
    with start(cfg) as runner:
        assert isinstance(runner, StandInRunner)
        assert runner.cfg.default_hooks == {}


def segmentor(backbone):
    head = dict(type='mmseg.FCNHead', in_channels=32, in_index=-1, channels=8, num_classes=2)
    return dict(type='mmseg.EncoderDecoder', backbone=backbone, decode_head=head)


def test_load_from_of_crocs_checkpoint_gives_a_segmentor_the_teacher(tmp_path, capsys):
    """Once it silently got the student, whose weights have the names of any backbone's."""
    backbone = vit_config(TINY, out_type='featmap')
    saved = save(tmp_path, vit_config(TINY), 'mmcroc.CrOC')
    cfg = Config(dict(model=segmentor(backbone), work_dir=str(tmp_path), load_from=str(saved.path)))
    cfg.merge_from_dict(dict(default_scope='mmseg', experiment_name=tmp_path.name))
    with start(cfg) as runner:
        runner.load_or_resume()
    assert_same_weights(dict(runner.model.backbone.state_dict()), saved.backbone.state_dict())
    assert "the backbone is the teacher's" in capsys.readouterr().out


def test_a_model_with_a_teacher_gets_both():
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 1), teacher=nn.Linear(1, 1)))
    checkpoint = dict(state_dict={'backbone.weight': 1, 'teacher.backbone.weight': 2})
    TeacherWeightsHook().after_load_checkpoint(SimpleNamespace(model=model), checkpoint)
    assert len(checkpoint['state_dict']) == 2


@pytest.mark.parametrize('verbose', [False, True])
def test_config_and_hooks_are_in_the_log_file_and_on_the_screen_if_wanted(
    tmp_path, capsys, verbose
):
    cfg = Config(dict(model=segmentor(vit_config(TINY)), work_dir=str(tmp_path)))
    cfg.merge_from_dict(dict(default_scope='mmseg', experiment_name=tmp_path.name))
    with start(cfg, verbose):
        pass
    (file,) = tmp_path.glob('*/*.log')
    shown = capsys.readouterr().out
    for text in ('Config:', 'Hooks will be executed', 'System environment:'):
        assert text in file.read_text() and (text in shown) == verbose


def test_loaders_take_no_more_processes_than_there_are_cores(monkeypatch):
    """Else torch warns of it; nothing is pinned where there is no GPU, of which it warns too."""
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(4), raising=False)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    loader = dict(num_workers=8, pin_memory=True)
    cfg = Config(
        dict(
            train_dataloader=loader,
            val_dataloader=dict(num_workers=0),
            val_evaluator=[dict(train_dataloader=loader), dict(type='x')],
            test_dataloader=None,
        )
    )
    fit_loaders(cfg)
    few = dict(num_workers=2, pin_memory=False)
    assert cfg.train_dataloader == cfg.val_evaluator[0].train_dataloader == few
    assert cfg.val_dataloader.num_workers == 0
