"""Data sets' configs: which classes a file's labels become."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmcroc.config_files import read_config
from mmcroc.registry import DATASETS
from tests.support.mini_data import make_ade20k, make_pascal_context
from tests.support.paths import CONFIGS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmcroc.LoadMappedAnnotations')]


@pytest.mark.parametrize(
    ('data', 'make', 'labels', 'classes', 'num_classes'),
    [
        ('ade20k', make_ade20k, {0, 1, 2, 77, 150}, {255, 0, 1, 76, 149}, 150),
        ('ade20k151', make_ade20k, {0, 1, 2, 77, 150}, {0, 1, 2, 77, 150}, 151),
        ('pascal-context', make_pascal_context, {0, 1, 30, 59}, {0, 1, 30, 59}, 60),
        ('pascal-context59', make_pascal_context, {0, 1, 30, 59}, {255, 0, 29, 58}, 59),
    ],
)
def test_labels_of_files_become_classes(data, make, labels, classes, num_classes, tmp_path):
    make(tmp_path)
    cfg = read_config(CONFIGS / '_base_' / 'datasets' / f'{data}.py')
    init_default_scope('mmseg')
    for settings in (cfg.train_set, cfg.val_set):
        dataset = DATASETS.build(dict(settings, data_root=str(tmp_path), pipeline=PIPELINE))
        assert len(dataset) == 3
        assert len(dataset.metainfo['classes']) == cfg.num_classes == num_classes
        assert len(dataset.metainfo['palette']) == num_classes
        found = np.unique(dataset[0]['gt_seg_map']).tolist()
        assert set(found) == classes and len(found) == len(labels)


def test_ade20k_classes_keep_their_names():
    one, other = (
        DATASETS.get(name).METAINFO['classes']
        for name in ('mmseg.ADE20KDataset', 'mmcroc.ADE20K151Dataset')
    )
    assert other == ('other', *one)
