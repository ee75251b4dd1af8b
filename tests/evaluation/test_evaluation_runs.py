"""Evaluation through MMEngine's runner: one and two ranks, any batch size, one table."""

import numpy as np
import pytest
import torch

from tests.support.processes import on_two_ranks
from tests.support.samples import clustering, linear_heads, retrieval, ridge, scenes_runner


def tables(work_dir, batch_size, **kwargs):
    """Metrics and reports of a small run, and what retrieval remembers."""
    segments = retrieval(max_memory=30, memory_file=f'{work_dir}/memory.npz')
    metrics = [clustering(), ridge(), linear_heads(), segments]
    runner = scenes_runner(work_dir, metrics, batch_size, **kwargs)
    metrics = runner.val()
    with np.load(f'{work_dir}/memory.npz') as file:
        memory = {name: torch.from_numpy(file[name]) for name in ('prototypes', 'labels')}
    return metrics, [metric.report for metric in runner.val_loop.evaluator.metrics], memory


def rank_main(_, folder):
    return tables(
        folder,
        2,
        launcher='pytorch',
        cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)),
    )


@pytest.fixture(scope='module')
def single(tmp_path_factory):
    return tables(tmp_path_factory.mktemp('single'), 2)


def assert_same(reports, wants):
    for report, want in zip(reports, wants, strict=True):
        torch.testing.assert_close(
            torch.tensor(report['iou_per_seed']), torch.tensor(want['iou_per_seed']),
            rtol=0, atol=1e-3,
        )  # fmt: skip
        assert report['num_images'] == want['num_images'] == 7


@pytest.mark.parametrize('batch_size', [1, 3, 7])
def test_batch_size_does_not_change_the_table(single, batch_size, tmp_path):
    assert_same(tables(tmp_path, batch_size)[1], single[1])


def test_two_ranks_give_the_table_of_one(single, tmp_path):
    """Seven images on two ranks: one is repeated, and must not count twice."""
    outcomes = on_two_ranks(rank_main, tmp_path)
    assert outcomes[0][0] == outcomes[1][0]
    assert_same(outcomes[0][1], single[1])
    for name, values in single[2].items():  # 30 of 36 segments, drawn alike
        torch.testing.assert_close(outcomes[0][2][name], values)


def test_every_number_carries_its_protocol(single):
    assert set(single[0]) == {
        'clustering-test/mIoU', 'clustering-test/mIoU_std', 'clustering-test/aAcc',
        'linear-ridge/mIoU', 'linear-ridge/aAcc', 'retrieval-test/mIoU', 'retrieval-test/aAcc',
        'linear-test/mIoU', 'linear-test/mIoU_std', 'linear-test/aAcc',
    }  # fmt: skip
