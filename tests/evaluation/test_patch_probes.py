"""The probes of patches: nearest neighbours, logistic regression, heads trained together."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmcroc.evaluation.fitted_iou import fit_together
from mmcroc.evaluation.patch_probe import patch_pixels, pixel_map
from mmcroc.evaluation.patch_probes import KNNPatchIoU, LinearJointIoU, LogregPatchIoU
from tests.support.processes import on_two_ranks
from tests.support.samples import HandsOut, Loader, noisy_samples, patch_probe, scenes_runner

KINDS = ['KNNPatchIoU', 'LogregPatchIoU', 'LinearJointIoU']
CLASSES = list('abcd')


def fitted(probe, samples, **kwargs):
    metric = probe(Loader(samples), classes=CLASSES, **kwargs)
    metric.fit(HandsOut())
    return metric


def rows_of(samples):
    """Tokens (N, C) and the labels of the pixels of each, (N, p)."""
    tokens = [each['tokens']['data'].flatten(1).T for each in samples]
    pixels = [patch_pixels(each['gt_sem_seg']['data'][0], (8, 8)) for each in samples]
    return torch.cat(tokens), torch.cat(pixels)


def test_patches_and_maps_are_each_others_inverse():
    mask = torch.arange(6 * 8).view(6, 8)
    pixels = patch_pixels(mask, (3, 2))
    assert pixels[0].tolist() == [0, 1, 8, 9, 16, 17]
    assert torch.equal(pixel_map(pixels, (2, 4), (3, 2)), mask)


@pytest.mark.parametrize('distance', ['cosine', 'l2'])
@pytest.mark.parametrize('number', [1, 4])
def test_neighbours_vote_as_in_a_loop_over_patches(distance, number):
    """Brute force in float64 on tokens standardised by scikit-learn, and torch's mode."""
    samples = noisy_samples(7)
    metric = fitted(KNNPatchIoU, samples[:5], num_neighbours=[number], distances=[distance])
    tokens, pixels = rows_of(samples[:5])
    kept = pixels.mode(1).values != 255
    scaler = StandardScaler().fit(tokens.double().numpy())
    memory = torch.from_numpy(scaler.transform(tokens[kept].double().numpy()))
    different = 0
    for each in samples[5:]:
        queries = torch.from_numpy(scaler.transform(rows_of([each])[0].double().numpy()))
        if distance == 'cosine':
            near = torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(memory).T
        else:
            near = -torch.cdist(queries, memory)
        labels = pixels[kept][near.topk(number).indices]
        votes = torch.nn.functional.one_hot(labels.clamp(max=4), 5)[..., :4].sum(1)
        want = torch.where(votes.sum(2) > 0, votes.argmax(2), votes.sum(1).argmax(1)[:, None])
        found = metric.predict(each['tokens']['data'], (40, 56))
        different += int((patch_pixels(found[0], (8, 8)) != want).any(1).sum())
    assert different <= 1  # of 70: half precision may swap two neighbours


def test_logistic_regression_is_scikit_learns_on_standardised_tokens():
    samples = noisy_samples(7)
    metric = fitted(LogregPatchIoU, samples[:5], strengths=[0.1], tolerance=1e-5)
    tokens, pixels = rows_of(samples[:5])
    scaler = StandardScaler().fit(tokens.numpy())
    labels = pixels.mode(1).values
    kept = labels != 255
    oracle = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000)
    oracle.fit(scaler.transform(tokens[kept].numpy()), labels[kept].numpy())
    for each in samples[5:]:
        want = oracle.predict(scaler.transform(rows_of([each])[0].numpy()))
        found = patch_pixels(metric.predict(each['tokens']['data'], (40, 56))[0], (8, 8))
        assert bool((found == found[:, :1]).all())
        np.testing.assert_array_equal(found[:, 0], want)


def with_noise(samples):
    """The samples, their tokens made hard to tell apart."""
    generator = torch.Generator().manual_seed(2)
    for each in samples:
        tokens = each['tokens']['data']
        each['tokens']['data'] = tokens + 3 * torch.randn(tokens.shape, generator=generator)
    return samples


def report_of(metric, samples):
    metric.process(None, samples)
    metric.evaluate(len(samples))
    return metric.report


@pytest.mark.parametrize(
    ('probe', 'name', 'values', 'best'),
    [
        (KNNPatchIoU, 'num_neighbours', [1, 20], 20),
        (LogregPatchIoU, 'strengths', [1e-9, 0.1], 0.1),
    ],
)
def test_the_setting_that_scores_best_on_held_out_images_is_taken(probe, name, values, best):
    samples = with_noise(noisy_samples(14))
    options = dict(distances=['l2']) if probe is KNNPatchIoU else {}
    metric = fitted(probe, samples[:10], held_out=0.3, **options, **{name: values})
    report = report_of(metric, samples[10:])
    scores = metric.held_out_miou
    assert scores[1] > scores[0] + 3 and best in report['settings']['chosen'].values()
    assert [each['held_out_mIoU'] for each in report['settings']['candidates']] == scores
    assert report['settings']['num_train_images'] == 10
    alone = fitted(probe, samples[:10], **options, **{name: [best]})
    assert alone.held_out_miou == [] and alone.chosen == metric.chosen


def test_held_out_images_are_not_fitted_on_while_choosing():
    """Noise for tokens: only memory of the images themselves would give full marks."""
    samples = noisy_samples(8)
    generator = torch.Generator().manual_seed(1)
    for each in samples:
        each['tokens']['data'] = torch.randn(8, 5, 7, generator=generator)
    metric = fitted(KNNPatchIoU, samples, num_neighbours=[1], held_out=0.25)
    assert max(metric.held_out_miou) < 40
    seen = samples[min(metric.held_numbers)]
    metric.process(None, [seen])
    assert metric.evaluate(1)['knn-patch/mIoU'] > 80  # fitted to all, in the end


def test_every_head_trained_together_is_reported_and_the_chosen_one_first():
    samples = with_noise(noisy_samples(12))
    rates = [1e-3, 0.1, 30.0]
    metric = fitted(LinearJointIoU, samples[:8], learning_rates=rates, held_out=0.25)
    report = report_of(metric, samples[8:])
    each = report['mIoU_per_learning_rate']
    assert list(each) == ['0.001', '0.1', '30.0'] and len(set(each.values())) == 3
    best = metric.held_out_miou.index(max(metric.held_out_miou))
    assert report['settings']['chosen'] == dict(learning_rate=rates[best])
    assert report['metrics']['mIoU'] == list(each.values())[best]
    assert report['mIoU_per_seed'] == [report['metrics']['mIoU']]
    assert report['metrics']['mIoU_best'] == max(each.values())


@pytest.mark.parametrize('probe', [KNNPatchIoU, LogregPatchIoU, LinearJointIoU])
def test_so_many_patches_of_an_image_are_kept_and_the_same_again(probe):
    samples = noisy_samples(8)
    reports = []
    for _ in range(2):
        metric = fitted(probe, samples, tokens_per_image=9, held_out=0.25)
        metric.process(None, samples)
        metric.evaluate(8)
        reports.append(metric.report)
    assert reports[0]['settings']['num_patches'] == 8 * 9
    assert reports[0]['iou_per_seed'] == reports[1]['iou_per_seed']


def tables(work_dir, batch_size, **kwargs):
    """Metrics and reports of the three probes in one small run."""
    metrics = [patch_probe(kind) for kind in KINDS]
    runner = scenes_runner(work_dir, metrics, batch_size, **kwargs)
    metrics = runner.val()
    return metrics, [metric.report for metric in runner.val_loop.evaluator.metrics]


def rank_main(_, folder):
    parallel = dict(type='MMDistributedDataParallel', device_ids=None)
    return tables(folder, 2, launcher='pytorch', cfg=dict(model_wrapper_cfg=parallel))


@pytest.fixture(scope='module')
def single(tmp_path_factory):
    return tables(tmp_path_factory.mktemp('single'), 2)


def assert_same(reports, wants):
    for report, want in zip(reports, wants, strict=True):
        for name in ('iou_per_seed', 'mIoU_per_seed'):
            torch.testing.assert_close(
                torch.tensor(report[name]), torch.tensor(want[name]), rtol=0, atol=0.05
            )
        assert report['settings']['chosen'] == want['settings']['chosen']
        assert report['settings']['num_patches'] == want['settings']['num_patches']
        assert report['num_images'] == want['num_images'] == 7


@pytest.mark.parametrize('batch_size', [1, 7])
def test_batch_size_does_not_change_the_table(single, batch_size, tmp_path):
    assert_same(tables(tmp_path, batch_size)[1], single[1])


def test_two_ranks_give_the_table_of_one(single, tmp_path):
    """Seven images on two ranks: one is repeated, and must not count twice."""
    outcomes = on_two_ranks(rank_main, tmp_path)
    assert outcomes[0][0] == outcomes[1][0]
    assert_same(outcomes[0][1], single[1])


def test_the_three_share_one_pass_over_the_training_images(tmp_path):
    runner = scenes_runner(tmp_path, [patch_probe(kind) for kind in KINDS])
    seen = []
    runner.model.register_forward_hook(lambda *_: seen.append(1))
    fit_together(runner.val_loop.evaluator.metrics, runner.model)
    assert len(seen) == 3  # six images, two at a time


@pytest.mark.parametrize(
    ('probe', 'settings', 'message'),
    [
        (KNNPatchIoU, dict(distances=['l1']), "distances are cosine and l2, got 'l1'"),
        (KNNPatchIoU, dict(num_neighbours=[0]), 'num_neighbours are at least 1'),
        (KNNPatchIoU, dict(num_neighbours=[]), 'no settings to choose from'),
        (LogregPatchIoU, dict(strengths=[0.0]), 'strengths must be above 0'),
        (LinearJointIoU, dict(num_epochs=0), 'num_epochs must be at least 1'),
        (LinearJointIoU, dict(held_out=1.0), 'held_out must lie between 0 and 1'),
        (LinearJointIoU, dict(tokens_per_image=0), 'tokens_per_image must be at least 1'),
    ],
)
def test_settings_that_mean_nothing_are_refused(probe, settings, message):
    with pytest.raises(ValueError, match=message):
        probe({}, **settings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(max_gib=1e-6), r'35 patches of each of 3 images take 0.0 GiB.*tokens_per_image'),
        (dict(held_out=0.1), 'of 3 training images none is held out to choose settings by'),
        (dict(num_neighbours=[500]), '500 neighbours among'),
    ],
)
def test_what_cannot_be_fitted_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fitted(KNNPatchIoU, noisy_samples(3), **{'held_out': 0.5, **settings})


def test_images_without_any_label_are_refused():
    samples = noisy_samples(4)
    for each in samples:
        each['gt_sem_seg']['data'].fill_(255)
    with pytest.raises(ValueError, match='no token with a label'):
        fitted(LogregPatchIoU, samples, held_out=0.25)


def test_held_out_images_without_any_label_are_refused():
    samples = noisy_samples(4)
    (number,) = torch.randperm(4, generator=torch.Generator().manual_seed(0))[:1].tolist()
    samples[number]['gt_sem_seg']['data'].fill_(255)
    with pytest.raises(ValueError, match='no pixel of the held-out images has a label'):
        fitted(LogregPatchIoU, samples, held_out=0.25)


def test_patches_of_no_whole_pixels_are_refused():
    samples = noisy_samples(2)
    for each in samples:
        each['gt_sem_seg']['data'] = torch.zeros(1, 41, 56, dtype=torch.long)
        each['img_shape'] = (41, 56)
    with pytest.raises(ValueError, match=r'5x7 tokens do not divide the mask of 0.png, 41x56'):
        fitted(KNNPatchIoU, samples, held_out=0.5)


def test_features_beyond_half_precision_are_refused_by_name():
    samples = noisy_samples(4)
    samples[2]['tokens']['data'] *= 1e6
    with pytest.raises(ValueError, match=r'features of 2.png.*do not fit into float16'):
        fitted(LinearJointIoU, samples, held_out=0.25)


@pytest.mark.parametrize('probe', [KNNPatchIoU, LogregPatchIoU, LinearJointIoU])
def test_without_a_fit_it_says_what_is_missing(probe):
    metric = probe({}, classes=CLASSES)
    with pytest.raises(RuntimeError, match='FitProbesHook'):
        metric.process(None, noisy_samples(1))
