"""The linear evaluation from kept tokens."""

import pytest
import torch
from mmengine.structures import PixelData

from mmcroc.evaluation.fitted_iou import learn_together
from mmcroc.evaluation.linear_iou import LinearHeadIoU
from mmcroc.registry import DATASETS
from tests.support.samples import PIPELINE, linear_heads, sample, scenes_runner


def metric_of(runner):
    return runner.val_loop.evaluator.metrics[0]


def test_a_few_epochs_beat_the_first_weights_on_other_scenes(tmp_path):
    scores = []
    for epochs in (1, 12):
        metrics = [linear_heads(num_train_images=24, num_epochs=epochs, lr=0.2)]
        scores.append(scenes_runner(tmp_path, metrics, num_images=10).val()['linear-test/mIoU'])
    assert scores[1] > scores[0] + 1


def test_each_seed_has_a_score_and_the_spread_is_theirs(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads()])
    metrics = runner.val()
    report = metric_of(runner).report
    scores = torch.tensor(report['mIoU_per_seed'])
    assert len(scores) == 2 and scores[0] != scores[1]
    assert metrics['linear-test/mIoU'] == pytest.approx(float(scores.mean()))
    assert metrics['linear-test/mIoU_std'] == pytest.approx(float(scores.std()))
    assert report['settings']['num_draws'] == 2 and report['settings']['num_train_images'] == 6
    first = metric_of(runner).examples[0]
    assert first['label'].shape == first['prediction'].shape == (48, 48)


def test_draws_of_an_image_differ_and_come_again(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads()])
    metric, kept = metric_of(runner), []
    for _ in range(2):
        learn_together([metric], runner.model)
        kept.append(metric.kept)
    kept, again = kept
    assert torch.equal(kept.tokens, again.tokens) and torch.equal(kept.labels, again.labels)
    assert not torch.equal(kept.tokens[0], kept.tokens[1])


class HandsOutImages(torch.nn.Module):
    """Pixels for tokens."""

    def val_step(self, batch):
        for image, data in zip(batch['inputs'], batch['data_samples'], strict=True):
            data.tokens = PixelData(data=image.float())
        return batch['data_samples']


def test_labels_lie_where_the_pixels_do(tmp_path):
    """Each draw is the whole scene, image and labels, or its mirror image."""
    metric = metric_of(scenes_runner(tmp_path, [linear_heads()]))
    learn_together([metric], HandsOutImages())
    kept = metric.kept
    scenes = DATASETS.build(metric.passes[0].dataloader['dataset'] | dict(pipeline=PIPELINE))
    mirrored = []
    for place, scene in enumerate(scenes):
        image = scene['inputs'].float()
        mask = scene['data_samples'].gt_sem_seg.data[0]
        for draw in range(2):
            pixels = kept.tokens[draw, place].float().T.view(3, 48, 48)
            mirrored.append(not torch.equal(pixels, image))
            if mirrored[-1]:
                pixels = pixels.flip(-1)
            assert torch.equal(pixels, image)
            labels = kept.labels[draw, place].long()
            assert torch.equal(labels.flip(-1) if mirrored[-1] else labels, mask)
    assert 0 < sum(mirrored) < len(mirrored)


@pytest.mark.parametrize('number', [4, 6])
def test_a_loader_that_does_not_give_every_image_once_is_refused(tmp_path, number):
    metric = metric_of(scenes_runner(tmp_path, [linear_heads()]))

    class Given:
        size = 5

        def through(self, model, purpose):
            for place in range(number):
                yield place, f'{place}.png', sample(torch.zeros(4, 2, 2), torch.zeros(8, 8).long())

    metric.passes = [Given()]
    with pytest.raises(
        ValueError, match=r'rank 0 got \d of its 5 training images.*drop_last=False'
    ):
        metric.fit(None)


def test_heads_that_diverge_are_refused(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads(lr=1e30)])
    with pytest.raises(ValueError, match=r'the heads diverged.*lower lr'):
        runner.val()


def test_more_memory_than_allowed_is_refused_before_it_is_taken(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads(max_gib=1e-6)])
    with pytest.raises(ValueError, match=r'6 images, 2 crops each, take 0.0 GiB.*num_draws'):
        runner.val()


def test_fewer_images_than_a_batch_takes_are_refused(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads(batch_size=120)])
    with pytest.raises(ValueError, match='batch of 120 images cannot be drawn from 6'):
        runner.val()


def test_features_beyond_half_precision_are_refused_by_name(tmp_path):
    runner = scenes_runner(tmp_path, [linear_heads()])
    norm = runner.model.backbone.ln1
    torch.nn.init.constant_(norm.weight, 1e6)
    with pytest.raises(ValueError, match='do not fit into float16'):
        runner.val()


def test_crops_of_different_sizes_are_refused(tmp_path):
    metric = metric_of(scenes_runner(tmp_path, [linear_heads()]))
    metric.num_train_images = 6
    images = type('Images', (), dict(size=6))
    kept = metric._room(images, torch.zeros(5, 4, 4), torch.zeros(8, 8))
    with pytest.raises(ValueError, match=r'b.png gives.*one size'):
        metric._check_fit(kept, torch.zeros(5, 4, 5), torch.zeros(8, 8), 'b.png')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_draws=0), 'num_draws must be at least 1'),
        (dict(seeds=[]), 'at least one seed'),
        (dict(ignore_index=65535), 'ignore_index=65535 does not fit'),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LinearHeadIoU({}, [], **settings)


def test_without_a_fit_it_says_what_is_missing():
    metric = LinearHeadIoU(dict(dataset={}), [], classes=list('ab'))
    with pytest.raises(RuntimeError, match='FitProbesHook'):
        metric.process(None, [sample(torch.zeros(5, 2, 2), torch.zeros(4, 4).long())])
