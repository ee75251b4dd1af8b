"""The closed-form linear probe."""

import pytest
import torch

from mmcroc.evaluation.linear_iou import LinearRidgeIoU
from tests.support.samples import HandsOut, noisy_samples, ridge, scenes_runner


def fitted(samples, **kwargs):
    metric = LinearRidgeIoU([samples], classes=list('abcd'), **kwargs)
    metric.fit(HandsOut())
    return metric


def test_labels_that_are_linear_in_the_tokens_are_found():
    """Noise-free one-hot tokens: every pixel right but those that interpolation blurs."""
    samples = noisy_samples(8)
    for sample in samples:
        grid = sample['gt_sem_seg']['data'][:, 4::8, 4::8].clone()
        grid[grid == 255] = 0
        sample['tokens']['data'] = torch.eye(4)[grid[0]].permute(2, 0, 1)
        sample['gt_sem_seg']['data'] = grid
        sample['img_shape'] = grid.shape[1:]
    metric = fitted(samples[:5])
    metric.process(None, samples[5:])
    metrics = metric.evaluate(3)
    assert metrics == {'linear-ridge/mIoU': 100, 'linear-ridge/aAcc': 100}


def test_a_token_has_the_class_of_most_of_its_labelled_pixels():
    metric = LinearRidgeIoU([], classes=list('abc'))
    mask = torch.tensor([[0, 1, 255, 255], [1, 255, 255, 255], [2, 2, 0, 0], [1, 2, 0, 255]])
    assert metric._token_labels(mask, (2, 2)).tolist() == [[1, 255], [2, 0]]


def test_repeated_images_beyond_the_end_do_not_count():
    samples = noisy_samples(8)
    metric = fitted(samples[:4])
    metric.process(None, samples[4:])
    want = metric.evaluate(4)
    metric.process(None, [*samples[4:], samples[0]])
    assert metric.evaluate(4) == want
    assert metric.report['settings']['num_train_images'] == 4


def test_without_a_fit_it_says_what_is_missing():
    metric = LinearRidgeIoU([], classes=list('abcd'))
    with pytest.raises(RuntimeError, match='FitProbesHook'):
        metric.process(None, noisy_samples(1))


def test_no_labelled_token_is_refused():
    samples = noisy_samples(1)
    samples[0]['gt_sem_seg']['data'].fill_(255)
    with pytest.raises(ValueError, match='no token with a label'):
        fitted(samples)


def test_no_training_image_is_refused():
    with pytest.raises(ValueError, match='no training image'):
        LinearRidgeIoU([], classes=['a']).fit(HandsOut())


def test_it_beats_a_constant_on_scenes_it_was_not_fitted_on(tmp_path):
    """The most frequent of nine classes covers a third of the pixels: a constant gets 33 / 9."""
    runner = scenes_runner(tmp_path, [ridge(num_train_images=30)], num_images=20)
    metrics = runner.val()
    assert metrics['linear-ridge/mIoU'] > 5
    report = runner.val_loop.evaluator.metrics[0].report
    assert report['settings']['num_train_images'] == 30
