"""What tools/evaluate.py says of protocols that train."""

import json
import sys

import pytest

from tests.support.paths import TOOLS
from tests.support.processes import call


def test_the_best_epoch_is_reported_beside_the_last(voc, tmp_path):
    done = call(
        sys.executable, TOOLS / 'evaluate.py', 'rgb', '--protocol', 'linear-leopart', '--data',
        'voc', '--data-root', voc, '--work-dir', tmp_path, '--batch-size', 1, '--num-workers', 0,
        '--cfg-options', 'train_cfg.max_epochs=4', 'optim_wrapper.optimizer.lr=40',
        'auto_scale_lr.enable=False',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / 'results.json').read_text())['results']
    (path,) = (tmp_path / 'linear-leopart' / 'rgb').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    history = [line['linear-leopart/mIoU'] for line in lines if 'linear-leopart/mIoU' in line]
    assert len(history) == 4 and len(set(history)) > 1
    assert result['metrics']['mIoU'] == pytest.approx(history[-1])
    assert result['best']['mIoU'] == pytest.approx(max(history))
    assert result['best']['epoch'] == 1 + history.index(max(history))
    best = f'{history[-1]:.2f}; best {max(history):.2f}, epoch {result["best"]["epoch"]}'
    assert best in done.stdout
