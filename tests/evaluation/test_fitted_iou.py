"""Metrics that learn from training images."""

from mmcroc.evaluation.fitted_iou import fit_together
from tests.support.samples import linear_heads, ridge, scenes_runner


def test_metrics_that_learn_from_the_same_images_share_the_forward_passes(tmp_path):
    """Two ridge classifiers and one of other images: two passes; the same classifiers as alone."""
    metrics = [ridge(4), ridge(4), ridge(2), linear_heads(num_draws=2)]
    runner = scenes_runner(tmp_path, metrics)
    metrics = runner.val_loop.evaluator.metrics
    seen = []
    runner.model.register_forward_hook(lambda *_: seen.append(1))
    fit_together(metrics, runner.model)
    assert len(seen) == 4 // 2 + 2 // 2 + 2 * 6 // 2
    assert [metric.num_train_images for metric in metrics] == [4, 4, 2, 6]
    together = [metric.heads.weight for metric in metrics]
    for metric in metrics:
        metric.fit(runner.model)
    assert all(
        (metric.heads.weight == weight).all()
        for metric, weight in zip(metrics, together, strict=True)
    )
