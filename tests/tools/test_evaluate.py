"""tools/evaluate.py as users call it."""

import json
import runpy
import sys

import pytest
from mmengine.runner import Runner
from PIL import Image

from tests.support.paths import TOOLS
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
        for protocol in ('clustering-leopart', 'linear-leopart')
    }
    for (model, protocol), result in found.items():
        assert model in table and protocol in table and result['data'] == 'voc'
        assert f'{result["metrics"]["mIoU"]:.2f}' in table
        assert len(result['iou_per_seed'][0]) == len(result['classes']) == 21
        assert result['seconds'] > 0 and result['settings']['seed'] == 0
    with Image.open(tmp_path / 'predictions.png') as sheet:
        assert sheet.size[0] > sheet.size[1]  # image, labels, four predictions; three rows
    clustering = found['rgb', 'clustering-leopart']
    assert clustering['settings']['backbone'] == dict(resnet_stride=16)
    assert clustering['settings']['seeds'] == [0, 1] and len(clustering['mIoU_per_seed']) == 2
    assert found['rgb', 'linear-leopart']['settings']['optim_wrapper']['optimizer']['type'] == 'SGD'
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
    tool = runpy.run_path(str(TOOLS / 'evaluate.py'))

    def build(cfg):
        raise RuntimeError(f'hooks: {sorted(cfg.default_hooks)}')

    monkeypatch.setattr(Runner, 'from_cfg', build)
    with pytest.raises(RuntimeError, match='hooks: ') as built:
        tool['evaluate'](tool['parse_args'](), 'rgb', 'linear-leopart')
    assert 'checkpoint' in str(built.value) and 'fit_probes' not in str(built.value)


@pytest.mark.parametrize(('data', 'dataset'), [
    ('coco-stuff27', 'mmcroc.COCOStuff27Dataset'), ('cityscapes27', 'mmcroc.Cityscapes27Dataset'),
])  # fmt: skip
def test_data_sets_are_found_by_their_configs_names(monkeypatch, data, dataset):
    arguments = ['rgb', '--protocol', 'clustering-leopart', '--data', data, '--work-dir', 'x']
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', *arguments])
    tool = runpy.run_path(str(TOOLS / 'evaluate.py'))
    cfg = tool['read_config'](tool['parse_args'](), 'rgb', 'clustering-leopart')
    assert cfg.test_dataloader.dataset.type == dataset
    assert cfg.test_evaluator.protocol == 'clustering-leopart'


def evaluate_config(monkeypatch, protocol, *arguments):
    """What tools/evaluate.py makes of a protocol's config."""
    monkeypatch.setenv('MMCROC_IMAGE_SIZE', '448')  # put back as it was afterwards
    arguments = ['rgb', '--protocol', protocol, '--work-dir', 'x', *arguments]
    monkeypatch.setattr(sys, 'argv', ['evaluate.py', *arguments])
    tool = runpy.run_path(str(TOOLS / 'evaluate.py'))
    return tool['read_config'](tool['parse_args'](), 'rgb', protocol)


def test_the_image_size_is_one_argument(monkeypatch):
    arguments = ('linear-leopart', '--data', 'voc', '--image-size', '224')
    cfg = evaluate_config(monkeypatch, *arguments)
    assert cfg.image_size == 224 and cfg.model.data_preprocessor.size == (224, 224)
    assert cfg.train_dataloader.dataset.pipeline[2].size == 224
    assert cfg.test_dataloader.dataset.pipeline[2].scale == (224, 224)


def test_an_image_size_that_would_change_nothing_is_refused(monkeypatch):
    with pytest.raises(SystemExit, match='retrieval-hsg has no image size to choose'):
        evaluate_config(monkeypatch, 'retrieval-hsg', '--data', 'voc', '--image-size', '224')


def test_a_protocol_without_a_config_for_the_data_names_those_it_has(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        evaluate_config(monkeypatch, 'linear-cached', '--data', 'cityscapes')
    said = ' '.join(capsys.readouterr().err.split())
    assert 'linear-cached has no config for cityscapes: --data can be voc, voc-animals' in said
