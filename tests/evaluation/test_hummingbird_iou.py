"""Dense nearest neighbours: memory, search, scores."""

import ast

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmcroc.evaluation.hummingbird import HummingbirdIoU
from mmcroc.numerics.patch_memory import patch_frequencies, patch_label_counts
from tests.support.devices import ON_DEVICES
from tests.support.processes import on_two_ranks
from tests.support.samples import PIPELINE, loader, scenes_runner

CASES = (
    'all', 'beta07', 'renamed', 'absent', 'ignore0', 'small_memory', 'bounded', 'bounded_few',
)  # fmt: skip


def samples_of(features, masks):
    """Data samples of features (images, h · w, D) and masks (images, H, H)."""
    side = int(features.shape[1] ** 0.5)
    for feature, mask in zip(features, masks, strict=True):
        sample = SegDataSample(metainfo=dict(img_shape=mask.shape))
        sample.tokens = PixelData(data=feature.T.unflatten(1, (side, side)))
        sample.gt_sem_seg = PixelData(data=mask[None].long())
        yield sample.to_dict()


class Images:
    """Training images as the metric knows them."""

    def __init__(self, size):
        self.size = size


def filled(case, device='cpu', **kwargs):
    """The metric of a recorded case, its memory filled."""
    cfg = case['cfg']
    settings = dict(
        num_passes=cfg['epochs'],
        train_pipeline=[],
        memory_size=cfg['memory_size'],
        num_neighbours=cfg.get('asked_k', cfg['k']),
        temperature=cfg['beta'],
        ignore_index=cfg['ignore'],
        classes=[str(i) for i in range(cfg['classes'])],
    )
    metric = HummingbirdIoU(dict(dataset={}), **{**settings, **kwargs})
    features, masks = case['memory_image_features'].to(device), case['memory_masks'].to(device)
    metric.passes = [Images(features.shape[1])] * len(features)
    if 'uniform' in case:
        metric._uniform = lambda turn, number, _: case['uniform'][turn, number].to(device)
    metric.begin_fit()
    for turn in range(len(features)):
        for number, sample in enumerate(samples_of(features[turn], masks[turn])):
            metric.learn(turn, number, f'{number}.png', sample)
    metric.num_train_images = features.shape[1]
    metric.end_fit()
    return metric


def scored(metric, case, device='cpu'):
    """Process the recorded queries; gives metrics."""
    queries = case['query_features'].to(device), case['query_masks'].to(device)
    metric.process(None, list(samples_of(*queries)))
    return metric.evaluate(len(queries[0]))


@pytest.fixture(scope='module')
def recorded(fixtures_dir):
    """The released implementation's inputs and numbers, case by case."""
    with np.load(fixtures_dir / 'hummingbird.npz') as file:
        arrays = {key: file[key] for key in file.files}
    cfg = ast.literal_eval(str(arrays['cfg']))
    cases = {}
    for name in CASES:
        tensors = {
            key.removeprefix(f'{name}_'): torch.from_numpy(np.asarray(array))
            for key, array in arrays.items()
            if key.startswith(f'{name}_') and array.dtype.kind in 'iufb'
        }
        cases[name] = dict(tensors, cfg=cfg[name])
    return dict(cases, arrays=arrays)


@pytest.mark.parity
@ON_DEVICES
@pytest.mark.parametrize('name', CASES)
def test_memory_neighbours_and_scores_of_the_release(name, recorded, device):
    case = recorded[name]
    metric = filled(case, device)
    memory = metric.memory
    torch.testing.assert_close(memory.features.cpu(), case['memory_features'], rtol=0, atol=1e-6)
    shares = memory.counts.float() / memory.counts.sum(1, keepdim=True)
    assert torch.equal(shares.cpu(), case['memory_labels'])
    queries = case['query_features'].flatten(0, 1).to(device)
    cosines, places = memory.nearest(queries, metric.settings['num_neighbours'])
    found = places[0, :, : case['cfg']['k']].sort(1).values
    assert (cosines[0, :, case['cfg']['k'] :] == -torch.inf).all()
    assert torch.equal(found.cpu(), case['neighbours'].flatten(0, 1).sort(1).values)
    soft = memory.label_shares(queries, metric.settings['num_neighbours'], case['cfg']['beta'])
    torch.testing.assert_close(
        soft[0].cpu(), case['soft'].flatten(0, 1), rtol=0, atol=1e-5
    )  # fmt: skip
    predictions, counts = [], []
    count, total = metric.count, metric.total_counts
    metric.count = lambda number, prediction, mask: (
        predictions.append(prediction[0].cpu()), count(number, prediction, mask),
    )  # fmt: skip
    metric.total_counts = lambda *args: counts.append(total(*args)) or counts[0]
    metrics = scored(metric, case, device)
    assert torch.equal(torch.stack(predictions).byte(), case['prediction'])
    assert torch.equal(counts[0][0].T, case['confusion'])
    report = metric.report
    torch.testing.assert_close(
        torch.tensor(report['iou_per_seed'][0], dtype=torch.float64) / 100,
        case['iou'], rtol=0, atol=1e-9,
    )  # fmt: skip
    assert metrics['hummingbird/mIoU'] == pytest.approx(100 * float(case['miou']), abs=1e-7)
    unmatched = metrics['hummingbird/mIoU_unmatched']
    assert unmatched == pytest.approx(100 * float(case['miou_unmatched']), abs=1e-7)


@pytest.mark.parity
def test_samples_of_a_bounded_memory_are_those_of_the_release(recorded):
    """Scores before the random factor, and the patches in the order of their sampling."""
    case, scores = recorded['bounded'], recorded['arrays']['bounded_scores']
    for turn, masks in enumerate(case['memory_masks']):
        for image, mask in enumerate(masks):
            counts = patch_label_counts(mask, (6, 6), 6, void_class=0)
            found = patch_frequencies(counts)
            assert torch.equal(found, torch.from_numpy(scores[turn, image]).flatten())
            for name in ('bounded', 'bounded_few'):
                want = recorded[name]['sampled'][turn, image]
                order = (found * recorded[name]['uniform'][turn, image]).argsort()
                assert torch.equal(order[: len(want)], want)


@pytest.mark.parity
def test_histograms_of_half_void_and_void_patches_are_those_of_the_release(recorded):
    masks = torch.from_numpy(recorded['arrays']['histogram_masks'])
    for mask, want in zip(masks, recorded['arrays']['histogram_labels'], strict=True):
        counts = patch_label_counts(mask, (6, 6), 6, void_class=0)
        assert torch.equal(counts.view(6, 6, 6) / 16, torch.from_numpy(want))


def test_void_can_be_left_out_of_histograms():
    mask = torch.tensor([[0, 255, 255, 255], [1, 1, 255, 255]])
    counts = patch_label_counts(mask, (1, 2), 2)
    assert counts.tolist() == [[1, 2], [0, 0]]
    assert patch_label_counts(mask, (1, 2), 2, void_class=0).tolist() == [[2, 2], [4, 0]]
    with pytest.raises(ValueError, match=r'2x4 does not divide into 1x3 patches.*518'):
        patch_label_counts(mask, (1, 3), 2)


def drawn_case(images=6, seed=0, **cfg):
    """A case as the recorded ones, of four classes that tokens tell apart, noisily, with void."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randn(4, 8, generator=torch.Generator().manual_seed(9))

    def some():
        grids = torch.randint(4, (images, 5, 5), generator=generator)
        noise = torch.randn(images, 25, 8, generator=generator)
        masks = grids.repeat_interleave(4, 1).repeat_interleave(4, 2)
        masks[torch.rand(masks.shape, generator=generator) < 0.1] = 255
        return kinds[grids].flatten(1, 2) + noise, masks

    memory, queries = some(), some()
    return dict(
        memory_image_features=memory[0][None],
        memory_masks=memory[1][None],
        query_features=queries[0],
        query_masks=queries[1],
        cfg=dict(epochs=1, memory_size=None, k=30, beta=0.02, ignore=255, classes=4) | cfg,
    )


def test_void_patches_are_dropped_from_the_memory_where_void_is_left_out():
    case = drawn_case()
    case['memory_masks'][0, 1] = 255
    case['memory_masks'][0, 4, :8] = 255
    with_void, without = filled(case), filled(case, void_class=None)
    labelled = [patch_label_counts(mask, (5, 5), 4).any(1) for mask in case['memory_masks'][0]]
    labelled = torch.cat(labelled)
    assert with_void.rows == [6 * 25] and without.rows == [int(labelled.sum())]
    rows = without.rows[0]
    assert rows <= 6 * 25 - 25 - 10
    kept = without.memory.features[:rows]
    assert torch.equal(kept, with_void.memory.features[labelled])
    shares = without.memory.label_shares(case['query_features'][0], 200, 0.02)
    torch.testing.assert_close(shares.sum(2), torch.ones(1, 25))


def test_a_memory_without_a_label_is_refused():
    case = drawn_case()
    case['memory_masks'][:] = 255
    with pytest.raises(ValueError, match=r'no patch of the training images .* has a label'):
        filled(case, void_class=None)


def test_validation_without_a_label_scores_nothing():
    case = drawn_case()
    case['query_masks'][:] = 255
    assert scored(filled(case), case)['hummingbird/mIoU'] == 0


def test_a_memory_of_less_than_a_patch_an_image_is_refused():
    with pytest.raises(ValueError, match='memory_size=5 is less than a patch of each of 6 images'):
        filled(drawn_case(memory_size=5))


@pytest.mark.parametrize(('size', 'rows'), [(6, 6), (6 * 8 - 1, 6 * 7), (10**6, 6 * 25)])
def test_a_bounded_memory_is_shared_evenly_and_clamped_to_all_patches(size, rows):
    case = drawn_case(memory_size=size)
    metric = filled(case)
    assert metric.rows == [rows]
    scored(metric, case)
    assert metric.report['settings']['patches_in_memory'] == [rows]
    if rows == 6 * 25:
        everything = drawn_case()
        assert scored(filled(case), case) == scored(filled(everything), everything)


def test_rare_classes_are_sampled_more_often():
    case = drawn_case(images=40, memory_size=40 * 3)
    case['memory_masks'][:] = 0
    case['memory_masks'][:, :, :4, :4] = 3  # one patch of 25
    shown = filled(case).memory.counts.bool().sum(0)
    assert shown[3] > 40 * 0.9 and shown[0] == 40 * 3 - shown[3]


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_half_precision_hardly_changes_shares(dtype):
    case = drawn_case()
    exact, half = filled(case), filled(case, memory_dtype=dtype)
    assert half.memory.features.dtype == getattr(torch, dtype)
    queries = case['query_features'].flatten(0, 1)
    # β = .02 multiplies a cosine's rounding by 50.
    one, other = (metric.memory.label_shares(queries, 30, 0.02) for metric in (exact, half))
    assert (one - other).abs().mean() < (1e-3 if dtype == 'float16' else 1e-2)


def test_a_memory_on_disk_is_the_memory(tmp_path):
    case = drawn_case()
    case['memory_masks'][0, 2] = 255  # a gap
    metrics = [
        filled(case, void_class=None, **where)
        for where in ({}, dict(max_gib=0, memory_dir=str(tmp_path)))
    ]
    assert [metric.memory.mapped for metric in metrics] == [False, True]
    assert not list(tmp_path.iterdir())  # nothing stays behind
    rows = metrics[0].rows[0]
    assert torch.equal(metrics[1].memory.features[:rows], metrics[0].memory.features[:rows])
    assert scored(metrics[1], case) == scored(metrics[0], case)


def test_a_memory_that_does_not_fit_says_what_to_do():
    with pytest.raises(ValueError, match=r"150 patches takes .* max_gib=0: name a memory_dir.*'fl"):
        filled(drawn_case(), max_gib=0)


def test_each_fraction_is_scored_as_if_it_was_all():
    """Searches of subsets, and bounded to other numbers of an image's patches."""
    case = drawn_case(images=8, memory_size=50)
    inside = torch.rand(5, 8, generator=torch.Generator().manual_seed(1)) < 0.5
    inside[:, 0] = True
    members = torch.cat([torch.ones(1, 8, dtype=torch.bool), inside])
    metric = HummingbirdIoU(dict(dataset={}), fractions=[1, 2])
    assert metric.searches == [(1, None), (2, 42), (2, 400), (2, 783), (2, 1293), (2, 4019)]
    patched = pytest.MonkeyPatch()
    patched.setattr(HummingbirdIoU, '_members', lambda self: members)
    together = filled(case, fractions=[1, 2])
    queries = case['query_features'].flatten(0, 1)
    shares = together.memory.label_shares(queries, 30, 0.02)
    metrics = scored(together, case)
    for search, own in enumerate(members):
        patched.setattr(HummingbirdIoU, '_members', lambda self, own=own: own[None])
        alone = filled(case)
        assert together.rows[search] == alone.rows[0] == int(own.sum()) * (50 // int(own.sum()))
        torch.testing.assert_close(shares[search], alone.memory.label_shares(queries, 30, 0.02)[0])
        score = scored(alone, case)['hummingbird/mIoU']
        name = '1' if search == 0 else '1_2_sampled'
        per_seed = together.report['fractions'][name]['mIoU_per_seed']
        assert per_seed[max(search - 1, 0)] == pytest.approx(score)
    patched.undo()
    per_seed = torch.tensor(per_seed)
    assert metrics['hummingbird/mIoU_1_2_sampled'] == pytest.approx(float(per_seed.mean()))
    assert metrics['hummingbird/mIoU_1_2_sampled_std'] == pytest.approx(float(per_seed.std()))
    assert metrics['hummingbird/mIoU'] == together.report['mIoU_per_seed'][0]


def test_images_of_another_size_are_refused():
    case, other = drawn_case(), drawn_case()
    metric = HummingbirdIoU(dict(dataset={}), classes=list('abcd'))
    metric.passes = [Images(2)]
    metric.begin_fit()
    first = next(samples_of(case['memory_image_features'][0], case['memory_masks'][0]))
    second = next(samples_of(other['memory_image_features'][0, :, :16], other['memory_masks'][0]))
    metric.learn(0, 0, 'a.png', first)
    with pytest.raises(ValueError, match=r'b.png gives \(4, 4\) tokens, .*\(5, 5\).*one size'):
        metric.learn(0, 1, 'b.png', second)


def test_missing_images_are_refused():
    case = drawn_case()
    metric = HummingbirdIoU(dict(dataset={}), classes=list('abcd'))
    metric.passes = [Images(2)]
    metric.begin_fit()
    sample = next(samples_of(case['memory_image_features'][0], case['memory_masks'][0]))
    metric.learn(0, 0, 'a.png', sample)
    with pytest.raises(ValueError, match=r'1 of 2 training images were seen.*drop_last=False'):
        metric.end_fit()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_passes=2), 'num_passes=2 need a train_pipeline'),
        (dict(num_neighbours=0), 'num_neighbours must be at least 1'),
        (dict(memory_size=0), 'memory_size must be at least 1'),
        (dict(fractions=[0]), 'least_fraction must be at least 1'),
        (dict(seeds=[]), 'number_of_seeds must be at least 1'),
        (dict(temperature=0), 'temperature must be positive'),
        (dict(matching='greedy'), "'hungarian' or 'none': greedy"),
        (dict(memory_dtype='int8'), 'float32, float16 or bfloat16: int8'),
        (dict(memory_dir='/nowhere'), 'memory_dir=/nowhere is no folder'),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HummingbirdIoU(dict(dataset={}), **settings)


def test_without_a_memory_it_says_what_is_missing():
    metric, case = HummingbirdIoU(dict(dataset={}), classes=list('abcd')), drawn_case()
    with pytest.raises(RuntimeError, match='FitProbesHook'):
        scored(metric, case)


def test_unmatched_scores_can_be_the_ones():
    case = drawn_case()
    case['memory_masks'] = torch.where(
        case['memory_masks'] < 4, (case['memory_masks'] + 1) % 4, case['memory_masks']
    )
    found = scored(filled(case), case)
    other = scored(filled(case, matching='none'), case)
    assert found['hummingbird/mIoU'] == other['hummingbird/mIoU_matched'] > 30
    assert other['hummingbird/mIoU'] == found['hummingbird/mIoU_unmatched'] < 10


def hummingbird(**kwargs):
    flip = [dict(type='mmseg.RandomFlip', prob=0.5)]
    settings = dict(train_dataloader=loader(9, 2, 'train'), train_pipeline=flip + PIPELINE)
    settings |= dict(num_passes=2, memory_size=300, fractions=[1, 4], seeds=[0, 1])
    return dict(type='mmcroc.HummingbirdIoU', **{**settings, **kwargs})


def run(work_dir, **kwargs):
    """Scores and table of a run on scenes."""
    runner = scenes_runner(work_dir, [hummingbird(**kwargs)])
    scores = runner.val()
    return scores, runner.val_loop.evaluator.metrics[0].report


def rank_main(rank, folder):
    in_file = dict(max_gib=0, memory_dir=str(folder))
    return [run(folder / str(rank), **where) for where in ({}, in_file)]


def test_two_ranks_give_the_scores_of_one(tmp_path):
    """With a memory each, and with a file for both."""
    scores, report = run(tmp_path / 'one')
    assert report['settings']['patches_in_memory'] == [9 * 2 * 16, 2 * 2 * 36, 2 * 2 * 36]
    assert set(scores) == {
        f'hummingbird/{name}'
        for name in (
            'mIoU', 'mIoU_unmatched', 'aAcc', 'mIoU_1_4_sampled', 'mIoU_1_4_sampled_std',
            'mIoU_1_4_sampled_unmatched', 'aAcc_1_4_sampled',
        )
    }  # fmt: skip
    for outcomes in on_two_ranks(rank_main, tmp_path):
        for other, table in outcomes:
            assert other == pytest.approx(scores)
            assert table['iou_per_seed'] == report['iou_per_seed']
