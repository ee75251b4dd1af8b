"""tools/benchmarks/post_training.py as users call it."""

import json
import runpy

import pytest
import torch

from tests.support.mini_data import make_voc
from tests.support.paths import TOOLS
from tests.support.weight_files import vit

TOOL = str(TOOLS / 'benchmarks' / 'post_training.py')
SMALL = [
    '--steps', '1',
    '--cfg-options', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
    'train_dataloader.dataset.pipeline.0.size=32', 'model.trained_blocks=1',
    'model.neck.hidden_channels=32', 'model.neck.num_prototypes=32',
    'model.head.num_prototypes=32', 'model.neck.num_cluster_prototypes=16',
    'model.head.num_cluster_prototypes=16', 'model.target_generator.max_clusters=6',
    '--probe-options', 'val_dataloader.num_workers=0', 'val_evaluator.1.num_clusters=8',
    'val_evaluator.2.train_dataloader.num_workers=0', 'val_evaluator.3.fractions=[1]',
    'val_evaluator.3.train_dataloader.num_workers=0',
    'val_evaluator.4.train_dataloader.num_workers=0',
    'val_evaluator.5.train_dataloader.num_workers=0', 'val_evaluator.5.held_out=0.4',
    'val_evaluator.0.seeds=[0]', 'val_evaluator.1.seeds=[0]',
]  # fmt: skip


@pytest.fixture(autouse=True)
def beside_the_tool(monkeypatch):
    """What the benchmarks share is found beside them, as when they are called."""
    monkeypatch.syspath_prepend(str(TOOLS / 'benchmarks'))


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Run the comparison on a tiny ViT and three images; gives its results and its table."""
    make_voc(tmp_path / 'voc')
    torch.save(vit().state_dict(), tmp_path / 'tiny.pth')

    def compared(*options):
        start = [tmp_path / 'voc', tmp_path / 'tiny.pth', '--work-dir', tmp_path / 'out']
        monkeypatch.setattr('sys.argv', [TOOL, *map(str, start), *SMALL, *options])
        monkeypatch.setenv('MMCROC_IMAGE_SIZE', '32')
        runpy.run_path(TOOL, run_name='__main__')
        results = json.loads((tmp_path / 'out' / 'results.json').read_text())['results']
        return results, (tmp_path / 'out' / 'table.txt').read_text()

    return compared


def test_start_control_and_croc_stand_in_one_table(compare):
    results, table = compare('--seeds', '5')
    runs = [(one['kind'], one['seed'], one['steps']) for one in results]
    assert runs == [('start', 5, 0), ('control', 5, 1), ('croc', 5, 1)]
    first, control, croc = results
    assert first['scores'].keys() == croc['scores'].keys()
    wanted = {'clustering-probe/mIoU', 'linear-ridge-probe/mIoU', 'effective_rank'}
    assert wanted | {'linear-joint-probe/mIoU'} <= set(croc['scores'])
    assert control['peak_gib'] > 0
    assert 'train/loss_cluster' in croc['logged'] and 'train/loss_cluster' not in control['logged']
    assert all(name in table for name in ('start', 'control', 'croc', 'clustering-probe/mIoU'))


def test_the_table_gives_mean_and_spread_over_seeds():
    run = dict(kind='croc', options={}, steps=9, train_seconds=1, score_seconds=2, peak_gib=0.5)
    runs = [dict(run, scores={'a/mIoU': value, 'a/aAcc': 1}) for value in (1.0, 3.0)]
    table = runpy.run_path(TOOL)['table_of'](runs)
    assert '2.00 ± 1.41' in table and 'aAcc' not in table


def test_settings_are_chosen_on_images_kept_out_of_training(compare, tmp_path):
    lists = tmp_path / 'voc' / 'ImageSets' / 'Segmentation'
    lists.joinpath('trainaug.txt').write_text('train_0\ntrain_1\ntrain_2\nval_0')
    lists.joinpath('train.txt').write_text('val_0')
    lists.joinpath('val.txt').write_text('not_to_be_looked_at')
    results, table = compare(
        '--kinds', 'croc', '--sweep', 'model.trained_blocks=2', '--device-minutes', '9'
    )
    assert [one['options'] for one in results] == [{}, {'model.trained_blocks': 2}]
    assert [one['seed'] for one in results] == [0, 0]
    kept = (tmp_path / 'out' / 'train_without_held_out.txt').read_text().split()
    assert kept == ['train_0', 'train_1', 'train_2']
    assert 'trained_blocks' in table
