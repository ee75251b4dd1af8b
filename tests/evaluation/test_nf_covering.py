"""NFCovering, from regions to the table."""

import pytest
import torch

from mmcroc.evaluation.nf_covering import NFCovering
from mmcroc.registry import METRICS

TRUTH = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2]])
HALVES = TRUTH - 1
WHOLE = torch.zeros(2, 4, dtype=torch.long)


def sample(levels, *annotators, name='image.png'):
    return dict(
        pred_hierarchy=dict(data=torch.stack(levels)),
        gt_regions=dict(data=torch.stack(annotators)),
        img_path=name,
    )


def evaluate(samples):
    metric = NFCovering()
    metric.process(None, samples)
    return metric.evaluate(len(samples)), metric


def test_each_level_is_scored_and_the_best_takes_all():
    metrics, _ = evaluate([sample([HALVES, WHOLE], TRUTH)])
    assert metrics == {
        'nfcovering-hsg/level_1': 100, 'nfcovering-hsg/level_2': 50, 'nfcovering-hsg/best': 100,
    }  # fmt: skip


def test_coarser_partitions_are_scored_by_their_best_region():
    """Left half exact; of the right one only a column of two is found."""
    partition = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2]])
    metrics, _ = evaluate([sample([partition], TRUTH)])
    assert metrics['nfcovering-hsg/level_1'] == 100 * (1 + 1 / 2) / 2


def test_best_takes_each_region_at_its_own_level():
    """The left half is whole at the first level alone, the right one at the second."""
    first = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2]])
    second = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 2]])
    metrics, _ = evaluate([sample([first, second], TRUTH)])
    assert metrics == {
        'nfcovering-hsg/level_1': 75, 'nfcovering-hsg/level_2': 75, 'nfcovering-hsg/best': 100,
    }  # fmt: skip


def test_annotators_are_averaged_before_images():
    """Image 1: 100 and 50 by two annotators; image 2: 50."""
    samples = [sample([HALVES], TRUTH, WHOLE + 1), sample([WHOLE], TRUTH)]
    metrics, metric = evaluate(samples)
    assert metrics['nfcovering-hsg/level_1'] == (75 + 50) / 2
    assert metric.report['num_regions'] == 5 and metric.report['num_images'] == 2


def test_what_has_no_foreground_is_left_out():
    """An annotator without regions, an image without."""
    samples = [sample([HALVES], TRUTH, WHOLE), sample([WHOLE], WHOLE)]
    metrics, metric = evaluate(samples)
    assert metrics['nfcovering-hsg/level_1'] == 100
    assert metric.report['num_images_without_foreground'] == 1
    with pytest.raises(ValueError, match='none of 1 images has foreground'):
        evaluate([sample([WHOLE], WHOLE)])


def test_predictions_are_resized_to_the_true_regions():
    metrics, _ = evaluate([sample([torch.tensor([[0, 1]])], TRUTH)])
    assert metrics['nfcovering-hsg/level_1'] == 100


def test_another_field_may_hold_the_prediction():
    one = sample([HALVES], TRUTH)
    one['mine'] = one.pop('pred_hierarchy')
    metric = METRICS.build(dict(type='mmcroc.NFCovering', prediction='mine'))
    metric.process(None, [one])
    assert metric.evaluate(1)['nfcovering-hsg/best'] == 100


@pytest.mark.parametrize('field', ['pred_hierarchy', 'gt_regions'])
def test_missing_fields_are_named(field):
    one = sample([HALVES], TRUTH)
    del one[field]
    with pytest.raises(KeyError, match=rf'image\.png.*{field}'):
        evaluate([one])


def test_predictions_of_another_kind_are_refused():
    one = sample([HALVES], TRUTH)
    one['pred_hierarchy']['data'] = HALVES
    with pytest.raises(ValueError, match=r'image\.png must be integers \(levels, H, W\)'):
        evaluate([one])


def test_images_with_other_numbers_of_levels_are_refused():
    with pytest.raises(ValueError, match=r'2\.png has 1 levels, 1\.png has 2'):
        evaluate(
            [sample([HALVES, WHOLE], TRUTH, name='1.png'), sample([WHOLE], TRUTH, name='2.png')]
        )
