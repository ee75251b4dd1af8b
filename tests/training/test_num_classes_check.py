"""A linear head of a wrong size, and labels it has no class for, are named before they train."""

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image

from tests.support.evaluation_configs import mini_config
from tests.support.mini_data import make_voc


@pytest.fixture
def linear(tmp_path):
    """The linear-leopart config on drawn VOC, and the folder."""
    make_voc(tmp_path / 'voc')
    root = tmp_path / 'voc'
    return mini_config('linear-leopart', 'voc', root, tmp_path), root


def test_a_head_of_another_number_of_classes_than_the_data_set(linear):
    cfg, _ = linear
    cfg.model.decode_head.num_classes = 19
    runner = Runner.from_cfg(cfg)
    message = (
        r'decode_head\.num_classes is 19, but train_dataloader\.dataset \(PascalVOCDataset\) has '
        r'21 classes \(background, .*\)\. Set model\.decode_head\.num_classes=21'
    )
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0


def test_the_validation_set_must_fit_before_training_too(linear):
    cfg, _ = linear
    cfg.val_dataloader.dataset.type = 'mmcroc.VOCAnimalsDataset'
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=r'val_dataloader\.dataset \(VOCAnimals.* has 7 classes'):
        runner.train()
    assert runner.iter == 0


def test_a_label_without_a_class_is_named_with_its_file(linear):
    cfg, root = linear
    for path in (root / 'SegmentationClassAug').glob('train_*.png'):
        Image.fromarray(np.full((48, 64), 33, np.uint8)).save(path)
    runner = Runner.from_cfg(cfg)
    message = r'train_\d\.png has labels \[33\], but .*num_classes is 21: labels must be 0-20, or'
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0
