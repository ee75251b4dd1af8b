"""tools/test.py and tools/dist_test.sh as users call them."""

import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from mmengine.registry import init_default_scope

from mmcroc.config_files import read_config
from mmcroc.registry import MODELS
from tests.support.paths import CONFIGS, TOOLS
from tests.support.processes import call


def test_two_processes_test_on_a_cpu(voc, tmp_path):
    """The launcher itself starts those of test_train.py; here, the processes that it would."""
    told = tmp_path / 'bin' / 'python'
    told.parent.mkdir()
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    script = call(
        'bash', TOOLS / 'dist_test.sh', CONFIGS / 'eval' / 'clustering-leopart_voc.py', 'rgb',
        2, '--data-root', voc, '--work-dir', tmp_path,
        '--cfg-options', 'test_evaluator.num_restarts=1', 'test_evaluator.seeds=[0]',
        'test_dataloader.num_workers=0',
        PORT='29534', PATH=f'{told.parent}:{os.environ["PATH"]}',
    )  # fmt: skip
    assert script.returncode == 0, script.stderr
    words = script.stdout.splitlines()
    start = words.index(str(TOOLS / 'test.py'))
    assert words[:start] == [
        '-m', 'torch.distributed.run', '--nnodes=1', '--node_rank=0', '--master_addr=127.0.0.1',
        '--master_port=29534', '--nproc_per_node=2',
    ]  # fmt: skip

    def process(rank):
        env = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
        return call(sys.executable, *words[start:], **env, MASTER_PORT='29534')

    with ThreadPoolExecutor() as both:
        first, second = both.map(process, '01')
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert '2 process(es)' in first.stdout
    assert 'clustering-leopart: 2352 tokens of 3 images' in first.stdout  # not of 4


def run_test(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / 'test.py'), run_name='__main__')
    return stop.value.code


LINEAR = CONFIGS / 'eval' / 'linear-leopart_voc.py'


def test_a_pretrained_file_is_no_checkpoint_of_a_linear_probe(monkeypatch, tmp_path):
    (tmp_path / 'dino.pth').touch()
    said = run_test(monkeypatch, LINEAR, tmp_path / 'dino.pth')
    assert f'tools/evaluate.py {tmp_path}/dino.pth --protocol linear-leopart' in said


@pytest.mark.parametrize('kept', [('backbone.',), ('decode_head.',), ()])
def test_a_checkpoint_that_does_not_fill_the_model_is_refused(voc, tmp_path, monkeypatch, kept):
    """Once it was loaded as far as it fitted, and the rest scored as initialised."""
    options = ['model.backbone.model=random:resnet18', 'test_dataloader.num_workers=0']
    init_default_scope('mmseg')
    cfg = read_config(LINEAR)
    cfg.model.backbone.model = 'random:resnet18'
    state = MODELS.build(cfg.model).state_dict()
    part = {key: value for key, value in state.items() if key.startswith(kept)} if kept else {}
    torch.save(dict(state_dict=part or {'cls_token': torch.zeros(1)}), tmp_path / 'part.pth')
    said = run_test(
        monkeypatch, LINEAR, tmp_path / 'part.pth', '--data-root', voc, '--work-dir',
        tmp_path / 'work', '--cfg-options', *options,
    )  # fmt: skip
    assert 'part.pth is no checkpoint of the model of' in said
    assert 'tools/evaluate.py MODEL --protocol' in said


def test_features_cannot_be_shown(monkeypatch):
    config = CONFIGS / 'eval' / 'clustering-leopart_voc.py'
    monkeypatch.setattr(sys, 'argv', ['test.py', str(config), 'rgb', '--show'])
    with pytest.raises(SystemExit, match='predicts no classes'):
        runpy.run_path(str(TOOLS / 'test.py'), run_name='__main__')
