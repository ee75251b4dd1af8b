"""MMSegmentation's IoU under a protocol's name."""

import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmcroc.evaluation.linear_segmentor import SegmentationIoU


def maps(seed=0):
    """Predictions and labels of four classes; the last is absent from both."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (1, 20, 30), generator=generator)
    wrong = torch.rand(label.shape, generator=generator) < 0.3
    prediction = torch.where(wrong, 2 - label, label)
    label[torch.rand(label.shape, generator=generator) < 0.1] = 255
    return dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=label))


def evaluated(metric):
    metric.dataset_meta = dict(classes=list('abcd'))
    metric.process(None, [maps(0), maps(1)])
    return metric.evaluate(2)


@pytest.mark.parametrize(('absent', 'nan_to_num'), [('zero', 0), ('nan', None)])
def test_numbers_are_those_of_mmsegmentation(absent, nan_to_num):
    ours = evaluated(SegmentationIoU('linear-test', absent))
    theirs = evaluated(IoUMetric(iou_metrics=['mIoU'], nan_to_num=nan_to_num))
    assert ours['linear-test/mIoU'] == pytest.approx(theirs['mIoU'], abs=0.005)
    assert ours['linear-test/aAcc'] == pytest.approx(theirs['aAcc'], abs=0.005)


def test_report_has_every_class():
    metric = SegmentationIoU('linear-test')
    mean = evaluated(metric)['linear-test/mIoU']
    (iou,) = metric.report['iou_per_seed']
    assert iou[3] == 0 and sum(iou) / 4 == pytest.approx(mean)
    assert metric.report['protocol'] == 'linear-test' and metric.report['num_images'] == 2


def test_unknown_rule_for_absent_classes_is_refused():
    with pytest.raises(ValueError, match='absent'):
        SegmentationIoU('linear-test', absent='skip')


def test_examples_are_the_first_images_of_each_evaluation():
    metric = SegmentationIoU('linear-test')
    evaluated(metric)
    evaluated(metric)
    assert len(metric.examples) == 2
    want = maps(1)['pred_sem_seg']['data'][0]
    assert (metric.examples[1]['prediction'] == want.numpy()).all()
