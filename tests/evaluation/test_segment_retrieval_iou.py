"""Segment retrieval, from features to the table."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from mmcroc.evaluation.segment_retrieval_iou import SegmentRetrievalIoU
from mmcroc.numerics.matching import confusion_matrix, intersection_over_union
from mmcroc.numerics.segment_memory import SegmentMemoryBuilder
from mmcroc.registry import METRICS

CLASSES = list('abc')
#: Images of 20x28 pixels in the corner of 24x32, padded to 32x32 for the model.
IMAGE, CANVAS, INPUT = (20, 28), (24, 32), (32, 32)
GRID, NEIGHBOURS = (2, 3), 4


def drawn(number, seed, dim=6):
    """Data samples whose features (dim, 4, 4) tell three classes apart, with noise, of any norm.

    The masks are twice the image's size, with ignored pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randn(3, dim, generator=torch.Generator().manual_seed(0))
    samples = []
    for i in range(number):
        grid = torch.randint(3, (4, 4), generator=generator)
        tokens = kinds[grid].permute(2, 0, 1) + 0.8 * torch.randn(dim, 4, 4, generator=generator)
        tokens *= torch.rand(4, 4, generator=generator) * 3 + 0.2
        mask = grid.repeat_interleave(16, 0).repeat_interleave(16, 1)[:40, :56].clone()
        mask[torch.rand(mask.shape, generator=generator) < 0.2] = 255
        sample = SegDataSample(
            metainfo=dict(
                img_path=f'{seed}_{i}.png',
                img_shape=IMAGE,
                ori_shape=tuple(mask.shape),
                pad_shape=INPUT,
                img_padding_size=(0, INPUT[1] - CANVAS[1], 0, INPUT[0] - CANVAS[0]),
            )
        )
        sample.tokens = PixelData(data=tokens)
        sample.gt_sem_seg = PixelData(data=mask[None])
        samples.append(sample)
    return samples


class HandsOut(nn.Module):
    """A model that hands out given samples."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def val_step(self, batch):
        return batch


def metric_on(train, **kwargs):
    settings = dict(grid=GRID, num_iterations=3, num_neighbours=NEIGHBOURS, classes=CLASSES)
    return SegmentRetrievalIoU([train], **{**settings, **kwargs})


def evaluate(metric, samples):
    metric.process(None, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(samples))


def fitted(train, **kwargs):
    metric = metric_on(train, **kwargs)
    metric.fit(HandsOut())
    return metric


def plain_segments(sample):
    """Segments by loops over clusters, in float64: prototypes, map over the image's pixels."""
    tokens = sample.tokens.data.double()[None]
    embedding = F.interpolate(tokens, size=INPUT, mode='bilinear')[0, :, : CANVAS[0], : CANVAS[1]]
    embedding = F.normalize(embedding, dim=0).numpy()
    y, x = np.meshgrid(*(np.linspace(0, 1, side) - 0.5 for side in CANVAS), indexing='ij')
    points = np.concatenate([embedding, y[None], x[None]])
    points /= np.linalg.norm(points, axis=0)
    rows, columns = (np.round(np.linspace(0, n - 1, m)) for n, m in zip(GRID, CANVAS, strict=True))
    labels = (rows[:, None] + GRID[0] * columns).astype(int)
    here = np.s_[: IMAGE[0], : IMAGE[1]]
    labels = labels[here]
    points, embedding = (values[(slice(None), *here)] for values in (points, embedding))
    for _ in range(3):
        centroids = []
        for cluster in range(GRID[0] * GRID[1]):
            total = points[:, labels == cluster].sum(1)
            centroids.append(total / max(np.linalg.norm(total), 1e-12))
        labels = np.einsum('kd,dhw->khw', np.stack(centroids), points).argmax(0)
    ids, labels = np.unique(labels, return_inverse=True)
    labels = labels.reshape(IMAGE)
    sums = np.stack([embedding[:, labels == i].sum(1) for i in range(len(ids))])
    return sums / np.linalg.norm(sums, axis=1, keepdims=True), labels


def plain_evaluation(train, test):
    """mIoU and pixel accuracy by loops over segments."""
    memory, memory_labels = [], []
    for sample in train:
        prototypes, segments = plain_segments(sample)
        mask = sample.gt_sem_seg.data[0, ::2, ::2].numpy()
        for i, prototype in enumerate(prototypes):
            label = np.bincount(mask[segments == i], minlength=256).argmax()
            if label < 255:
                memory.append(prototype)
                memory_labels.append(label)
    memory, memory_labels = np.stack(memory), np.array(memory_labels)
    counts = torch.zeros(3, 3, dtype=torch.long)
    for sample in test:
        prototypes, segments = plain_segments(sample)
        prediction = np.zeros(IMAGE, int)
        for i, prototype in enumerate(prototypes):
            near = np.argsort(-memory @ prototype)[:NEIGHBOURS]
            prediction[segments == i] = np.bincount(memory_labels[near]).argmax()
        prediction = torch.from_numpy(prediction.repeat(2, 0).repeat(2, 1))
        counts += confusion_matrix(prediction, sample.gt_sem_seg.data[0], 3, 3)
    return (
        {
            'retrieval-hsg/mIoU': 100 * float(intersection_over_union(counts).mean()),
            'retrieval-hsg/aAcc': 100 * float(counts.diagonal().sum() / counts.sum()),
        },
        torch.from_numpy(memory).float(),
        torch.from_numpy(memory_labels),
    )


def test_numbers_are_those_of_plain_loops():
    train, test = drawn(12, 1), drawn(5, 2)
    metric = fitted(train)
    want, prototypes, labels = plain_evaluation(train, test)
    torch.testing.assert_close(metric.memory.prototypes, prototypes, rtol=0, atol=1e-5)
    assert torch.equal(metric.memory.labels, labels)
    assert evaluate(metric, test) == pytest.approx(want, abs=1e-4)
    assert 30 < want['retrieval-hsg/mIoU'] < 99
    assert metric.report['settings']['num_memory_segments'] == len(labels)


def test_an_image_finds_itself():
    """One neighbour, the memory of the same images: each segment gets its own majority label."""
    train = drawn(6, 3)
    for sample in train:  # one class per image
        mask = sample.gt_sem_seg.data
        mask[mask < 255] = int(sample.img_path[2]) % 3
    metrics = evaluate(fitted(train, num_neighbours=1), train)
    assert metrics == {'retrieval-hsg/mIoU': 100, 'retrieval-hsg/aAcc': 100}


def test_segments_of_ignored_pixels_are_not_remembered():
    train = drawn(8, 1)
    train[0].gt_sem_seg.data.fill_(255)
    assert len(fitted(train).memory) == len(fitted(train[1:]).memory)


def test_majority_counts_ignored_pixels_and_a_tie_goes_to_the_lowest_class():
    metric = metric_on([])
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2, 3]])
    labels = torch.tensor([[2, 1, 1, 2, 0, 255, 255, 2, 255, 255]])
    assert metric._majority(segments, labels, 4).tolist() == [1, 3, 2, 3]


def test_a_coarser_map_gives_nearly_the_same():
    train, test = drawn(12, 1), drawn(5, 2)
    fine, coarse = (evaluate(fitted(train, stride=stride), test) for stride in (1, 2))
    assert fine != coarse
    assert coarse['retrieval-hsg/aAcc'] == pytest.approx(fine['retrieval-hsg/aAcc'], abs=8)


def test_one_cluster_makes_the_image_one_segment():
    metric = fitted(drawn(8, 1), grid=(1, 1))
    assert len(metric.memory) <= 8
    evaluate(metric, drawn(2, 2))
    assert all(len(np.unique(e['prediction'])) == 1 for e in metric.examples)


def test_a_saved_memory_is_the_rebuilt_one(tmp_path):
    train, test = drawn(8, 1), drawn(3, 2)
    path = tmp_path / 'made' / 'memory.npz'
    first = fitted(train, memory_file=path)
    want = evaluate(first, test)
    again = metric_on([], memory_file=path)  # without training images
    again.fit(HandsOut())
    assert torch.equal(again.memory.prototypes, first.memory.prototypes)
    assert torch.equal(again.memory.labels, first.memory.labels)
    assert evaluate(again, test) == want == evaluate(fitted(train), test)
    assert again.report['settings'] == first.report['settings']
    assert [file.name for file in path.parent.iterdir()] == ['memory.npz']


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (dict(grid=(3, 2)), r'grid: \[2, 3\] there, \[3, 2\] here'),
        (dict(num_iterations=4), 'num_iterations'),
        (dict(stride=2), 'stride'),
        (dict(max_memory=9), 'max_memory'),
        (dict(classes=list('abcd')), 'classes'),
        (dict(ignore_index=254), 'ignore_index'),
    ],
)
def test_a_memory_of_other_settings_is_refused(other, message, tmp_path):
    path = tmp_path / 'memory.npz'
    fitted(drawn(8, 1), memory_file=path)
    with pytest.raises(ValueError, match=f'memory.npz was built otherwise.*{message}'):
        metric_on([], memory_file=path, **other).fit(HandsOut())


def test_a_memory_of_another_model_or_other_data_is_refused(tmp_path):
    path = tmp_path / 'memory.npz'
    fitted(drawn(8, 1), memory_file=path)
    with pytest.raises(ValueError, match='model'):
        metric_on([], memory_file=path).fit(HandsOut(2.0))
    loader = dict(dataset=dict(type='mmcroc.SyntheticScenes', num_images=3))
    metric = metric_on([], memory_file=path)
    metric.train_images.dataloader = loader
    with pytest.raises(ValueError, match='data: '):
        metric.fit(HandsOut())


def test_each_model_can_have_a_file_of_its_own(tmp_path):
    for _ in range(2):
        for weight in (1.0, 2.0):
            metric_on(drawn(8, 1), memory_file=f'{tmp_path}/{{model}}.npz').fit(HandsOut(weight))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_is_no_memory_is_refused(tmp_path):
    path = tmp_path / 'memory.npz'
    path.write_bytes(b'PK\x03\x04 but not')
    with pytest.raises(ValueError, match=r'memory\.npz is no memory of segments'):
        metric_on([], memory_file=path).fit(HandsOut())


def test_a_bounded_memory_is_a_seeded_part_of_the_whole():
    train = drawn(12, 1)
    whole = {tuple(row.tolist()) for row in fitted(train).memory.prototypes}
    parts = [fitted(train, max_memory=10, seed=seed).memory for seed in (0, 0, 1)]
    for part in parts:
        assert len(part) == 10 and {tuple(row.tolist()) for row in part.prototypes} <= whole
    assert torch.equal(parts[0].prototypes, parts[1].prototypes)
    assert not torch.equal(parts[0].prototypes, parts[2].prototypes)


def test_what_a_bounded_memory_keeps_does_not_depend_on_when_it_is_cut():
    builders = SegmentMemoryBuilder(5), SegmentMemoryBuilder(5)
    builders[1]._prune = lambda: None
    generator = torch.Generator().manual_seed(0)
    for image in range(40):
        rows = torch.randn(3, 2, generator=generator), torch.arange(3)
        for builder in builders:
            builder.add(image, *rows)
    assert builders[0].held <= 10 < builders[1].held == 120
    cut, late = (builder.gather('cpu') for builder in builders)
    assert torch.equal(cut.prototypes, late.prototypes) and torch.equal(cut.labels, late.labels)


def test_repeated_images_beyond_the_end_do_not_count():
    train, test = drawn(8, 1), drawn(3, 2)
    metric = fitted(train)
    want = evaluate(metric, test)
    metric.process(None, [sample.to_dict() for sample in [*test, test[0]]])
    assert metric.evaluate(3) == want


def test_examples_and_report():
    metric = fitted(drawn(8, 1))
    metrics = evaluate(metric, drawn(10, 2))
    assert len(metric.examples) == 8
    for example in metric.examples:
        assert example['prediction'].shape == example['label'].shape == (40, 56)
    report = metric.report
    assert report['protocol'] == 'retrieval-hsg' and report['classes'] == CLASSES
    assert report['settings']['num_train_images'] == 8 and report['num_images'] == 10
    assert np.mean(report['iou_per_seed'][0]) == pytest.approx(metrics['retrieval-hsg/mIoU'])


def test_config_builds_it_by_its_prefix():
    metric = METRICS.build(dict(type='mmcroc.SegmentRetrievalIoU', train_dataloader=[]))
    assert metric.prefix == 'retrieval-hsg'


def test_without_a_fit_it_says_what_is_missing():
    with pytest.raises(RuntimeError, match='FitProbesHook'):
        evaluate(metric_on([]), drawn(1, 2))


def test_an_empty_memory_is_refused():
    train = drawn(2, 1)
    for sample in train:
        sample.gt_sem_seg.data.fill_(255)
    for images in (train, []):
        with pytest.raises(ValueError, match='memory holds 0 labelled segments'):
            fitted(images)


def test_fewer_segments_than_neighbours_are_refused():
    with pytest.raises(ValueError, match='fewer than the 20 neighbours'):
        fitted(drawn(2, 1), num_neighbours=20)


def test_embeddings_of_another_size_are_refused_by_image():
    with pytest.raises(ValueError, match=r'2_0\.png are of size 5, those of the memory of size 6'):
        evaluate(fitted(drawn(8, 1)), drawn(1, 2, dim=5))


def test_training_masks_with_other_classes_are_refused_by_image():
    with pytest.raises(ValueError, match=r'1_0\.png has labels from 0 to 2, but there are 2 class'):
        fitted(drawn(8, 1), classes=list('ab'))


@pytest.mark.parametrize(
    'wrong', [dict(grid=(0, 3)), dict(stride=0), dict(num_neighbours=0), dict(max_memory=3)]
)
def test_settings_that_cannot_be_are_refused(wrong):
    name = 'rows' if 'grid' in wrong else next(iter(wrong))
    with pytest.raises(ValueError, match=name):
        metric_on([], **wrong)
