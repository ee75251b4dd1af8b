"""tools/evaluate.py as users call it."""

import json
import os
import re
import runpy
import subprocess
import sys

import pytest
from mmengine.runner import Runner
from PIL import Image

from tests.support.images import truncate
from tests.support.mini_data import make_voc
from tests.support.paths import CONFIGS, ROOT, TOOLS
from tests.support.processes import call

FEW = ['test_evaluator.num_restarts=1', 'test_evaluator.seeds=[0,1]']


def test_one_command_gives_a_table_of_models_and_protocols(voc, tmp_path):
    done = call(
        sys.executable, TOOLS / 'evaluate.py', 'random:deit-tiny/16', '--baseline', 'rgb',
        '--protocol', 'clustering-leopart', 'linear-leopart', '--data', 'voc', '--data-root', voc,
        '--work-dir', tmp_path, '--batch-size', 2, '--num-workers', 0,
        '--cfg-options', *FEW, 'train_cfg.max_epochs=1',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = done.stdout.split('mIoU on voc')[1]
    saved = json.loads((tmp_path / 'results.json').read_text())
    assert {'mmcroc', 'torch'} <= set(saved['versions'])
    found = {(result['model'], result['protocol']): result for result in saved['results']}
    assert set(found) == {
        (model, protocol)
        for model in ('random:deit-tiny/16', 'rgb')
        for protocol in ('clustering-leopart*', 'linear-leopart*')
    }
    changes = 'linear-leopart*: not the protocol, but with train_cfg.max_epochs=1, train_dataloader'
    assert f'{changes}.batch_size=2' in table
    for (model, protocol), result in found.items():
        assert model in table and protocol in table and result['data'] == 'voc'
        assert f'{result["metrics"]["mIoU"]:.2f}' in table
        assert len(result['iou_per_seed'][0]) == len(result['classes']) == 21
        assert result['seconds'] > 0 and result['settings']['seed'] == 0
    with Image.open(tmp_path / 'predictions.png') as sheet:
        assert sheet.size[0] > sheet.size[1]  # image, labels, four predictions; three rows
    clustering = found['rgb', 'clustering-leopart*']
    assert clustering['settings']['backbone'] == dict(resnet_stride=16)
    assert clustering['settings']['seeds'] == [0, 1] and len(clustering['mIoU_per_seed']) == 2
    linear = found['rgb', 'linear-leopart*']['settings']
    assert linear['optim_wrapper']['optimizer']['lr'] == pytest.approx(0.01 * 2 / 120)
    assert linear['batch_size'] == 2 and linear['num_train_images'] == 3
    assert {result['settings']['image_size'] for result in found.values()} == {448}


def test_retrieval_reads_training_images_from_the_same_root(voc, tmp_path):
    memory = tmp_path / 'memory'
    done = call(
        sys.executable, TOOLS / 'evaluate.py', 'random:deit-tiny/16', '--baseline', 'rgb',
        '--protocol', 'retrieval-hsg', '--data', 'voc', '--data-root', voc,
        '--work-dir', tmp_path, '--batch-size', 2, '--num-workers', 0, '--cfg-options',
        'test_evaluator.stride=8', f'test_evaluator.memory_file={memory}/{{model}}.npz',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = done.stdout.split('mIoU on voc')[1]
    saved = json.loads((tmp_path / 'results.json').read_text())
    for result, model in zip(saved['results'], ('random:deit-tiny/16', 'rgb'), strict=True):
        assert result['model'] == model and f'{result["metrics"]["mIoU"]:.2f}' in table
        assert result['settings']['num_train_images'] == 3 and result['settings']['stride'] == 8
    assert len(list(memory.iterdir())) == 2
    assert (tmp_path / 'predictions.png').is_file()


def test_any_default_hook_is_turned_off_on_the_command_line(monkeypatch, tmp_path):
    """Once None of a hook that is not MMEngine's was an AssertionError without a word."""
    arguments = ['rgb', '--protocol', 'linear-leopart', '--data', 'voc', '--work-dir', tmp_path,
                 '--cfg-options', 'default_hooks.fit_probes=None']  # fmt: skip
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', *map(str, arguments)])

    def build(cfg):
        raise ValueError(f'hooks: {sorted(cfg.default_hooks)}')

    monkeypatch.setattr(Runner, 'from_cfg', build)
    with pytest.raises(SystemExit, match='hooks: ') as built:
        runpy.run_path(str(TOOLS / 'evaluate.py'), run_name='__main__')
    assert 'checkpoint' in str(built.value) and 'fit_probes' not in str(built.value)


def refusal(monkeypatch, capsys, *arguments):
    """What tools/evaluate.py says of arguments that cannot be."""
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', 'rgb', '--work-dir', 'x', *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / 'evaluate.py'), run_name='__main__')
    assert stop.value.code != 0
    return f'{capsys.readouterr().err} {stop.value}'


@pytest.mark.parametrize(('arguments', 'said'), [
    ('--protocol clustring --data voc', "no protocol 'clustring'; there are clustering-leopart"),
    ('--protocol clustering --data vok', "no data set 'vok'; there are ade20k"),
    ('--protocol clustering', 'give --data, or --images with --masks'),
    ('--protocol clustering --images docs', 'give --data, or --images with --masks'),
    ('--protocol clustering --images none --masks docs', 'images: there is no folder none'),
    ('--protocol clustering --data voc --data-root none', 'there is no folder none'),
    ('--protocol nfcovering-hsg --data voc', 'no region_set, as bsds, cityscapes, coco have'),
    ('--protocol retrieval-hsg --data voc --image-size 224', "no setting 'image_size'"),
    ('--protocol clustering --data voc --cfg-options nun_restarts=2', "no setting 'nun_restarts'"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(monkeypatch, capsys, arguments, said):
    assert said in refusal(monkeypatch, capsys, *arguments.split())


@pytest.mark.parametrize('tool', ['evaluate', 'test'])
def test_an_image_that_was_cut_off_is_named_in_one_sentence(monkeypatch, tmp_path, tool):
    """Read by a worker. Once the missing part was scored as if it were grey."""
    make_voc(tmp_path)
    truncate(tmp_path / 'JPEGImages' / 'val_1.jpg')
    common = ['--data-root', tmp_path, '--work-dir', tmp_path / 'out', '--cfg-options',
              'test_evaluator.num_restarts=1', 'test_evaluator.seeds=[0]']  # fmt: skip
    arguments = {
        'evaluate': ['rgb', '--protocol', 'clustering-leopart', '--data', 'voc'],
        'test': [CONFIGS / 'eval' / 'clustering-leopart_voc.py', 'rgb'],
    }[tool]
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, arguments + common)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')
    said = r'Cannot read image \S*val_1\.jpg: .*truncated.*'
    assert re.fullmatch(said, stop.value.code, re.IGNORECASE)


@pytest.mark.parametrize('tool', ['evaluate', 'test', 'train'])
def test_a_data_root_that_lacks_the_list_of_images_is_told_in_one_sentence(
    monkeypatch, tmp_path, tool
):
    arguments = {
        'evaluate': ['rgb', '--protocol', 'clustering-leopart', '--data', 'voc'],
        'test': [CONFIGS / 'eval' / 'clustering-leopart_voc.py', 'rgb'],
        'train': [CONFIGS / 'eval' / 'linear-mmseg_voc.py',
                  '--cfg-options', 'model.backbone.model=rgb'],
    }[tool]  # fmt: skip
    arguments += ['--data-root', tmp_path, '--work-dir', tmp_path / 'out']
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')
    assert stop.value.code.startswith(f'there is no list of images {tmp_path}/ImageSets/')


def test_help_waits_for_no_heavy_package():
    script = (
        'import runpy, sys\ntry: runpy.run_path("tools/evaluate.py", run_name="__main__")\n'
        'except SystemExit: print(sorted({"torch", "mmengine", "numpy"} & set(sys.modules)))'
    )
    # A process of its own: those of `call` have imported them before.
    done = subprocess.run(
        [sys.executable, '-c', script, '--help'], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, check=False,
    )  # fmt: skip
    assert 'overclustering-leopart  ' in done.stdout and done.stdout.endswith('\n[]\n')
