"""Training images of metrics, whatever data set they come from."""

import pytest

from mmcroc.evaluation.training_images import with_pipeline
from tests.support.samples import PIPELINE, SCENES, linear_heads, retrieval, scenes_runner

PLAIN = dict(SCENES, split='train', num_images=4, pipeline=PIPELINE)
TWICE = dict(type='RepeatDataset', times=2, dataset=PLAIN)
JOINED = dict(type='ConcatDataset', datasets=[PLAIN, TWICE], ignore_keys=['dataset_type'])


@pytest.mark.parametrize(('dataset', 'number'), [(TWICE, 8), (JOINED, 12)])
def test_a_wrappers_images_train_heads_and_fill_memories(dataset, number, tmp_path):
    train = dict(batch_size=2, num_workers=0, dataset=dataset)
    metrics = [
        linear_heads(train_dataloader=train),
        retrieval(train_dataloader=train, train_pipeline=PIPELINE),
    ]
    runner = scenes_runner(tmp_path, metrics)
    runner.val()
    for metric in runner.val_loop.evaluator.metrics:
        assert metric.report['settings']['num_train_images'] == number


def test_the_innermost_data_sets_get_the_pipeline():
    found = with_pipeline(JOINED, ['new'])
    first, twice = found['datasets']
    assert first['pipeline'] == twice['dataset']['pipeline'] == ['new']
    assert 'pipeline' not in found and 'pipeline' not in twice
    assert PLAIN['pipeline'] is PIPELINE  # what was given stays
