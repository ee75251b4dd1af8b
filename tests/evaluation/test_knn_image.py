"""Images told by their neighbours: mean average precision."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from mmcroc.evaluation.fitted_iou import fit_together
from mmcroc.evaluation.knn_image import KNNImageAP, average_precision, neighbour_votes
from mmcroc.numerics.distributed import get_world_size
from tests.support.processes import on_two_ranks
from tests.support.samples import HandsOut, Loader, noisy_samples, sample

CLASSES = ['a', 'b', 'c', 'd']


def shows_some(number, seed):
    """Images of one to three of four classes, tokens near the sum of their classes' vectors."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(4, 8))
    samples = []
    for i in range(number):
        classes = rng.permutation(4)[: rng.integers(1, 4)]
        mask = torch.from_numpy(rng.choice(classes, (12, 16)))
        mask[0, :3] = 255
        tokens = centres[classes].sum(0)[:, None, None] + 2 * rng.normal(size=(8, 3, 4))
        samples.append(sample(torch.from_numpy(tokens).float(), mask, f'{i}.png'))
    return samples


def scored(train, val, **settings):
    metric = KNNImageAP(Loader(train), classes=CLASSES, **settings)
    fit_together([metric], HandsOut())
    metric.process(None, val)
    return metric, metric.evaluate(len(val))


def test_it_is_the_mean_over_classes_of_scikit_learns_on_votes_by_hand():
    train, val = shows_some(12, 1), shows_some(9, 2)
    metric, scores = scored(train, val, num_neighbours=5, temperature=0.5)

    def described(samples):
        vectors = np.stack([one['tokens']['data'].double().mean((1, 2)).numpy() for one in samples])
        masks = [one['gt_sem_seg']['data'].numpy() for one in samples]
        shown = np.array([[(mask == c).any() for c in range(4)] for mask in masks])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), shown

    (memory, labels), (queries, wanted) = described(train), described(val)
    votes = np.zeros((len(val), 4))
    for i, query in enumerate(queries):
        cosines = memory @ query
        nearest = np.argsort(-cosines)[:5]
        weights = np.exp(cosines[nearest] / 0.5)
        votes[i] = weights @ labels[nearest] / weights.sum()
    want = [100 * average_precision_score(wanted[:, c], votes[:, c]) for c in range(4)]
    assert metric.report['AP_per_class'] == pytest.approx(want, abs=1e-4)
    assert scores == {'knn-image/mAP': pytest.approx(np.mean(want), abs=1e-4)}
    assert 50 < np.mean(want) < 99  # no trivial case


def test_equal_scores_count_together():
    scores, relevant = torch.tensor([0.5, 0.5, 0.0, 0.0, 0.9]), torch.tensor([1, 0, 1, 0, 1]) > 0
    want = average_precision_score(relevant, scores)
    assert float(average_precision(scores, relevant)) == pytest.approx(want)
    assert float(average_precision(scores, relevant.flip(0))) == pytest.approx(
        average_precision_score(relevant.flip(0), scores)
    )


def test_the_nearer_weighs_more():
    memory = torch.eye(3)
    votes = neighbour_votes(torch.tensor([[0.8, 0.6, 0.0]]), memory, torch.eye(3), 2, 0.1)
    assert votes[0].tolist() == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2)), 0])


def test_images_whose_neighbours_all_show_a_class_are_equal():
    """Weights that do not add up to 1 exactly once ranked them, by the machine's rounding."""
    unit = torch.nn.functional.normalize(torch.randn(300, 16), dim=1)
    votes = neighbour_votes(unit[:200], unit[200:], torch.ones(100, 2), 20, 0.07)
    assert votes.unique().tolist() == [1.0]


def test_classes_that_all_show_or_none_are_left_out():
    """A background that is everywhere would only raise the mean."""
    val = shows_some(9, 2)
    for one in val:
        one['gt_sem_seg']['data'][0, 0, 5] = 0
        one['gt_sem_seg']['data'][one['gt_sem_seg']['data'] == 3] = 2
    metric, scores = scored(shows_some(12, 1), val)
    one, *middle, last = metric.report['AP_per_class']
    assert np.isnan(one) and np.isnan(last)
    assert scores['knn-image/mAP'] == pytest.approx(np.mean(middle))


def test_it_needs_training_images():
    metric = KNNImageAP(Loader([]), classes=CLASSES)
    metric.process(None, noisy_samples(2))
    with pytest.raises(RuntimeError, match=r'no training images were seen; add'):
        metric.evaluate(2)
    with pytest.raises(ValueError, match=r'num_neighbours must be at least 1 .* got 0 and 0.07'):
        KNNImageAP(Loader([]), num_neighbours=0)


def on_a_rank(rank=0, folder=None):
    """Seven images: the sampler repeats one on the second of two ranks."""
    ranks = get_world_size()
    train, val = shows_some(7, 1), shows_some(7, 2)
    metric = KNNImageAP(Loader(train), classes=CLASSES, num_neighbours=3)
    metric.begin_fit()
    for number in range(rank, 7, ranks):
        metric.learn(0, number, 'image', train[number])
    metric.end_fit()
    numbers = [(rank + ranks * i) % 7 for i in range(-(-7 // ranks))]
    metric.process(None, [val[number] for number in numbers])
    return metric.evaluate(7)


def test_two_ranks_score_as_one(tmp_path):
    alone = on_a_rank()
    assert on_two_ranks(on_a_rank, tmp_path) == [alone, alone]
