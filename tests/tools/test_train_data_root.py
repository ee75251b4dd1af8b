"""What tools/train.py --data-root moves."""

import runpy

import pytest

from mmcroc.config_files import read_config
from tests.support.paths import CONFIGS, TOOLS


@pytest.mark.parametrize(('config', 'follow'), [
    ('eval/linear-leopart_voc.py', True),  # once its validation looked elsewhere, and failed
    ('croc_vit-s_coco.py', False),
])  # fmt: skip
def test_data_root_moves_what_is_scored_of_the_same_data_set(config, follow):
    set_data_root = runpy.run_path(str(TOOLS / 'train.py'))['set_data_root']
    cfg = read_config(CONFIGS / config)
    if not follow:
        cfg.merge_from_dict(read_config(CONFIGS / '_base_' / 'probes' / 'voc.py').to_dict())
    scored = cfg.val_dataloader.dataset.data_root
    set_data_root(cfg, 'elsewhere')
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere'
    assert cfg.val_dataloader.dataset.data_root == ('elsewhere' if follow else scored)
