"""Clustering evaluation, from tokens to the table."""

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from mmcroc.evaluation.clustering_iou import ClusteringIoU
from mmcroc.numerics.faiss_kmeans import faiss_kmeans
from mmcroc.numerics.matching import (
    confusion_matrix,
    intersection_over_union,
    match_hungarian,
    merge_clusters,
)
from mmcroc.registry import METRICS
from tests.support.samples import noisy_samples, sample

#: Three kinds of tokens, far apart.
KINDS = torch.tensor([[9.0, 0, 0, 1], [0, 9, 0, 2], [0, 0, 9, 3]])


def hand_made():
    """Tokens of three kinds over pixels of three classes, of four; one pixel wrong, one ignored."""
    kinds = torch.tensor([[1, 1, 1, 0, 0, 0], [2, 2, 2, 2, 2, 0]])
    mask = torch.tensor([[0, 0, 0, 0, 1, 1], [2, 2, 2, 2, 255, 1]])
    return sample(KINDS[kinds].permute(2, 0, 1), mask)


def evaluate(samples, **kwargs):
    settings = dict(classes=list('abcd'), map_size=None, pca_dim=2, protocol='clustering-test')
    metric = ClusteringIoU(**{**settings, **kwargs})
    metric.process(None, samples)
    return metric.evaluate(len(samples)), metric


def test_hand_made_case_gives_the_miou_of_arithmetic():
    """IoU 3/4, 3/4, 4/4; the fourth class has no pixel and the fourth cluster is empty."""
    metrics, metric = evaluate([hand_made(), hand_made()])
    assert metric.report['iou_per_seed'] == [[75, 75, 100, 0]] * 5
    assert metrics['clustering-test/mIoU'] == 62.5
    assert metrics['clustering-test/mIoU_std'] == 0
    assert metrics['clustering-test/aAcc'] == pytest.approx(100 * 10 / 11)


def test_absent_class_can_be_left_out():
    metrics, _ = evaluate([hand_made()], absent='nan')
    assert metrics['clustering-test/mIoU'] == pytest.approx(250 / 3)


def test_many_clusters_map_to_few_classes():
    """The cluster left over by a one-to-one matching goes to class 0; many to one finds its own."""
    one = hand_made()
    one['gt_sem_seg']['data'] = torch.tensor([[[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]]])
    settings = dict(num_clusters=3, classes=['x', 'y'])
    metrics, _ = evaluate([one], **settings)
    assert metrics['clustering-test/mIoU'] == pytest.approx(100 * (4 / 7 + 5 / 8) / 2)
    metrics, _ = evaluate([one], matching='precision', **settings)
    assert metrics['clustering-test/mIoU'] == 100


@pytest.mark.parametrize('algorithm', ['faiss', 'k-means++'])
def test_steps_are_those_of_scikit_learn(algorithm):
    """Standardise, PCA, k-means, Hungarian: the same mean IoU with scikit-learn's."""
    samples = noisy_samples()
    # So many starts that both find the best optimum, whatever they draw.
    settings = dict(pca_dim=3, seeds=[0], storage_dtype='float32', num_restarts=40)
    metrics, _ = evaluate(samples, algorithm=algorithm, **settings)
    tokens = np.concatenate([s['tokens']['data'].flatten(1).T.numpy() for s in samples])
    points = PCA(3).fit_transform(StandardScaler().fit_transform(tokens))
    labels = KMeans(4, n_init=40, random_state=0).fit_predict(points)
    counts = torch.zeros(4, 4, dtype=torch.long)
    for own, one in zip(np.split(labels, len(samples)), samples, strict=True):
        clusters = own.reshape(5, 7).repeat(8, 0).repeat(8, 1)
        mask = one['gt_sem_seg']['data'][0].numpy()
        np.add.at(counts.numpy(), (clusters[mask < 255], mask[mask < 255]), 1)
    iou = intersection_over_union(merge_clusters(counts, match_hungarian(counts)))
    assert metrics['clustering-test/mIoU'] == pytest.approx(100 * float(iou.mean()), abs=0.3)


def test_by_default_each_seed_clusters_as_faiss_does_on_a_sample_of_the_tokens():
    """1,400 tokens, of which training sees 1,024."""
    samples = noisy_samples(40)
    settings = dict(pca_dim=3, seeds=[3, 4], storage_dtype='float32', matching='identity')
    _, metric = evaluate(samples, **settings)
    tokens = np.concatenate([s['tokens']['data'].flatten(1).T.numpy() for s in samples])
    points = PCA(3).fit_transform(StandardScaler().fit_transform(tokens))
    masks = torch.stack([s['gt_sem_seg']['data'][0] for s in samples])
    for seed, found in zip((3, 4), metric.report['iou_per_seed'], strict=True):
        labels = faiss_kmeans(torch.from_numpy(points), 4, seed=seed).labels.view(40, 5, 7)
        clusters = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
        want = intersection_over_union(confusion_matrix(clusters, masks, 4, 4))
        np.testing.assert_allclose(found, 100 * want, atol=0.2)  # signs of PCA, rounding


def test_iou_is_that_of_mmsegmentation_on_the_same_maps():
    """Tokens that are their own class: no clustering error, so both metrics see the same maps."""
    generator = torch.Generator().manual_seed(1)
    kinds = torch.randint(3, (4, 6, 6), generator=generator)
    masks = torch.where(torch.rand(4, 6, 6, generator=generator) < 0.8, kinds, 2 - kinds)
    samples = [sample(KINDS[k].permute(2, 0, 1), m) for k, m in zip(kinds, masks, strict=True)]
    metrics, metric = evaluate(samples, classes=list('abc'), absent='nan')
    theirs = IoUMetric(iou_metrics=['mIoU'])
    theirs.dataset_meta = dict(classes=list('abc'))
    theirs.process(
        None,
        [
            dict(pred_sem_seg=dict(data=k[None]), gt_sem_seg=dict(data=m[None]))
            for k, m in zip(kinds, masks, strict=True)
        ],
    )
    want = theirs.evaluate(4)
    assert metrics['clustering-test/mIoU'] == pytest.approx(want['mIoU'], abs=0.005)
    assert metrics['clustering-test/aAcc'] == pytest.approx(want['aAcc'], abs=0.005)
    assert len(metric.report['iou_per_seed'][0]) == 3


def test_maps_are_compared_at_map_size_by_nearest_neighbour():
    """An 8x8 mask at map size 4: every second pixel of every second row counts."""
    kinds = torch.tensor([[0, 1], [2, 1]])
    mask = kinds.repeat_interleave(4, 0).repeat_interleave(4, 1)
    mask[1::2], mask[:, 1::2] = 0, 0  # never looked at
    samples = [sample(KINDS[kinds].permute(2, 0, 1), mask)]
    coarse, _ = evaluate(samples, classes=list('abc'), map_size=4)
    fine, _ = evaluate(samples, classes=list('abc'))
    assert coarse['clustering-test/mIoU'] == 100 > fine['clustering-test/mIoU']


def test_batches_do_not_matter():
    samples = noisy_samples()
    metric = ClusteringIoU(classes=list('abcd'), map_size=None, protocol='clustering-test')
    for start in (0, 1, 4):
        metric.process(None, samples[start : {0: 1, 1: 4, 4: 6}[start]])
    assert metric.evaluate(6) == evaluate(samples, pca_dim=50)[0]


def test_repeated_images_beyond_the_end_do_not_count():
    samples = noisy_samples()
    metric = ClusteringIoU(classes=list('abcd'), map_size=None, protocol='clustering-test')
    metric.process(None, [*samples, samples[0], samples[1]])
    assert metric.evaluate(6) == evaluate(samples, pca_dim=50)[0]


def test_it_can_evaluate_again():
    samples = noisy_samples()
    first, metric = evaluate(samples)
    metric.process(None, samples)
    assert metric.evaluate(6) == first


def test_report_names_protocol_settings_and_classes():
    _, metric = evaluate(noisy_samples(), seeds=[3, 4])
    report = metric.report
    assert report['protocol'] == 'clustering-test' and report['classes'] == list('abcd')
    assert report['settings']['seeds'] == [3, 4] and report['num_tokens'] == 6 * 35
    assert np.shape(report['iou_per_seed']) == (2, 4)
    assert np.mean(report['mIoU_per_seed']) == pytest.approx(report['metrics']['mIoU'])
    np.testing.assert_allclose(np.mean(report['iou_per_seed'], 1), report['mIoU_per_seed'])


def test_examples_are_the_matched_predictions_of_the_first_images():
    _, metric = evaluate([hand_made()] * 10)
    assert len(metric.examples) == 8
    for example in metric.examples:
        assert example['img_path'] == 'image.png'
        assert example['prediction'].tolist() == [[0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 2, 1]]
        assert example['label'].tolist() == hand_made()['gt_sem_seg']['data'][0].tolist()


def test_config_builds_it_by_its_prefix():
    assert METRICS.build(dict(type='mmcroc.ClusteringIoU')).prefix == 'clustering-leopart'


def test_nan_features_are_refused_by_image():
    samples = noisy_samples()
    samples[2]['tokens']['data'][0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r'2\.png hold NaN'):
        evaluate(samples)


def test_features_too_large_for_half_precision_are_refused():
    samples = noisy_samples()
    samples[2]['tokens']['data'] *= 1e6
    with pytest.raises(ValueError, match='float32'):
        evaluate(samples)
    evaluate(samples, storage_dtype='float32')


def test_fewer_tokens_than_clusters_are_refused():
    with pytest.raises(ValueError, match='36 clusters from 35 tokens'):
        evaluate(noisy_samples(1), num_clusters=36)


def test_masks_with_other_classes_are_refused_by_image():
    with pytest.raises(ValueError, match=r'0\.png has labels from 0 to 3, but there are 3 classes'):
        evaluate(noisy_samples(), classes=list('abc'))


def test_masks_of_another_size_than_the_image_are_refused():
    samples = noisy_samples()
    samples[1]['img_shape'] = (56, 40)
    with pytest.raises(ValueError, match=r'1\.png is \(40, 56\), its image \(56, 40\)'):
        evaluate(samples)


def test_missing_images_are_noticed():
    metric = ClusteringIoU(classes=list('abcd'))
    metric.process(None, noisy_samples(3))
    with pytest.raises(ValueError, match='3 of 4 images'):
        metric.evaluate(4)


def test_models_without_tokens_are_told_what_to_use():
    samples = noisy_samples()
    del samples[0]['tokens']
    with pytest.raises(KeyError, match='FeatureSegmentor'):
        evaluate(samples)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(matching='greedy'),
        dict(absent='skip'),
        dict(seeds=[]),
        dict(algorithm='lloyd'),
        dict(max_init_points=100),
    ],
)
def test_unknown_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClusteringIoU(**wrong)


@pytest.mark.gpu
@pytest.mark.parametrize('algorithm', ['faiss', 'k-means++'])
def test_tokens_on_a_device_give_the_table_of_the_cpu(algorithm):
    """Classes are far apart, so that rounding moves no token."""
    samples = noisy_samples(number=20)
    there = [dict(each, tokens=dict(data=each['tokens']['data'].cuda())) for each in samples]
    here, table = (evaluate(some, algorithm=algorithm)[0] for some in (samples, there))
    assert table == pytest.approx(here, abs=0.5)
