from itertools import permutations

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from mmcroc.numerics.matching import (
    confusion_matrix,
    intersection_over_union,
    match_hungarian,
    match_identity,
    match_many_to_one,
    mean_iou,
    merge_clusters,
    pairwise_iou,
)

MATCHINGS = {
    'hungarian': match_hungarian,
    'hungarian_absent': match_hungarian,
    'hungarian_more': match_hungarian,
    'many_precision': lambda counts: match_many_to_one(counts, 'precision'),
    'many_iou': lambda counts: match_many_to_one(counts, 'iou'),
    'identity': match_identity,
}


def score(counts, matching, absent='zero'):
    return intersection_over_union(merge_clusters(counts, matching(counts)), absent)


def random_maps(num_clusters, num_classes, seed=0, ignored=True):
    """Noisy maps that agree in part; class ids above the last are not used."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(num_classes, (3, 50, 40), generator=generator)
    noise = torch.randint(num_clusters, target.shape, generator=generator)
    keep = torch.rand(target.shape, generator=generator) < 0.6
    prediction = torch.where(keep, (target * 3 + 1) % num_clusters, noise)
    if ignored:
        target[torch.rand(target.shape, generator=generator) < 0.1] = 255
    return prediction, target


@pytest.mark.parity
@pytest.mark.parametrize('case', list(MATCHINGS))
def test_scores_are_those_of_the_released_evaluation(fixtures_dir, case):
    with np.load(fixtures_dir / 'evaluation.npz') as file:
        reference = {key: file[f'{case}_{key}'] for key in ('gt', 'pred', 'iou', 'miou')}
        sizes = [int(file[f'{case}_{key}']) for key in ('num_clusters', 'num_classes')]
    prediction, target = (torch.from_numpy(reference[key]) for key in ('pred', 'gt'))
    iou = score(confusion_matrix(prediction, target, *sizes), MATCHINGS[case])
    np.testing.assert_allclose(iou, reference['iou'], rtol=1e-12)
    np.testing.assert_allclose(mean_iou(iou), reference['miou'], rtol=1e-12)


def test_hand_made_case_gives_the_miou_of_arithmetic():
    # Three classes and a fourth that is absent; clusters permuted; cluster 3 empty; 2 ignored.
    target = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 255], [2, 2, 2, 255]])
    prediction = torch.tensor([[2, 2, 2, 0], [0, 0, 0, 1], [1, 1, 0, 2]])
    counts = confusion_matrix(prediction, target, 4, 4)
    assert counts.tolist() == [[1, 3, 1, 0], [0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 0, 0]]
    assert match_hungarian(counts).tolist() == [1, 2, 0, 3]
    expected = torch.tensor([3 / 4, 3 / 5, 2 / 3, 0], dtype=torch.float64)
    iou = score(counts, match_hungarian)
    torch.testing.assert_close(iou, expected)
    torch.testing.assert_close(mean_iou(iou), expected.sum() / 4)
    left_out = score(counts, match_hungarian, absent='nan')
    assert left_out[3].isnan()
    torch.testing.assert_close(mean_iou(left_out), expected.sum() / 3)


def test_confusion_matrix_is_scikit_learns():
    prediction, target = random_maps(6, 6)
    counts = confusion_matrix(prediction, target, 6, 6, chunk_size=1000)
    valid = target != 255
    expected = sklearn_confusion_matrix(prediction[valid], target[valid], labels=range(6))
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize('seed', range(5))
def test_hungarian_matching_is_the_best_permutation(seed):
    prediction, target = random_maps(6, 6, seed)
    iou = pairwise_iou(confusion_matrix(prediction, target, 6, 6))
    best = max(permutations(range(6)), key=lambda classes: iou[range(6), classes].sum())
    assert match_hungarian(confusion_matrix(prediction, target, 6, 6)).tolist() == list(best)


def test_hungarian_matching_weighs_iou_and_not_pixels():
    counts = torch.tensor([[60, 10], [45, 0]])
    # Pixels: 60 + 0 > 10 + 45. IoU: 60/115 + 0 < 10/70 + 45/105.
    assert match_hungarian(counts).tolist() == [1, 0]


def test_clusters_left_over_go_to_class_zero():
    counts = torch.tensor([[1, 1], [0, 50], [40, 0], [0, 3]])
    assert match_hungarian(counts).tolist() == [0, 1, 0, 0]


def test_fewer_clusters_than_classes_leave_classes_unmatched():
    counts = torch.tensor([[1, 20, 3], [2, 0, 9]])
    iou = score(counts, match_hungarian)
    torch.testing.assert_close(iou, torch.tensor([0, 20 / 24, 9 / 14], dtype=torch.float64))


def test_many_to_one_criteria_differ_where_they_should():
    # Mostly of class 0 by pixels, but class 1 is small and better covered.
    counts = torch.tensor([[12, 10], [100, 0], [0, 0]])
    assert match_many_to_one(counts, 'precision').tolist() == [0, 0, 0]
    assert match_many_to_one(counts, 'iou').tolist() == [1, 0, 0]


@pytest.mark.parametrize('num_present', [5, 3])
def test_iou_is_mmsegmentations(num_present):
    prediction, target = random_maps(num_present, num_present)
    metric = IoUMetric(ignore_index=255)
    areas = metric.intersect_and_union(prediction, target, 5, 255)
    theirs = metric.total_area_to_metrics(*areas)['IoU']
    counts = confusion_matrix(prediction, target, 5, 5)
    ours = intersection_over_union(counts, absent='nan')
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert ours.isnan().sum() == 5 - num_present
    np.testing.assert_allclose(mean_iou(ours), np.nanmean(theirs), rtol=1e-6)


def test_class_predicted_but_never_labelled_scores_zero_by_either_rule():
    counts = torch.tensor([[5, 0], [2, 0]])
    for absent in ('zero', 'nan'):
        assert intersection_over_union(counts, absent)[1] == 0


def test_errors_say_what_was_wrong():
    maps = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r'\(2, 4\) and target \(2, 2\)'):
        confusion_matrix(maps, maps[:, :2], 3, 3)
    with pytest.raises(ValueError, match=r'target must lie in \[0, 3\), but runs from 7 to 7'):
        confusion_matrix(maps, maps + 7, 3, 3)
    with pytest.raises(ValueError, match=r'prediction must lie in \[0, 3\), but runs from -1'):
        confusion_matrix(maps - 1, maps, 3, 3)
    with pytest.raises(ValueError, match='4 clusters are not 3 classes'):
        match_identity(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="'zero' or 'nan', got 'skip'"):
        intersection_over_union(torch.eye(2), 'skip')
    with pytest.raises(ValueError, match="'precision' or 'iou', got 'recall'"):
        match_many_to_one(torch.eye(2), 'recall')
