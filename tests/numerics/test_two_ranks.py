"""What two ranks find together is what one rank finds alone."""

import pytest
import torch

from mmcroc.numerics.distributed import all_gather_stack, all_reduce_sum
from mmcroc.numerics.faiss_kmeans import faiss_kmeans
from mmcroc.numerics.kmeans import kmeans
from mmcroc.numerics.matching import confusion_matrix
from mmcroc.numerics.pca import RunningMoments, fit_pca
from mmcroc.numerics.ridge import RidgeAccumulator
from tests.support.processes import on_two_ranks

# Unlike shares, the second rank's first: nothing may lean on equal sizes or on the order.
SHARES = (slice(900, 3000), slice(0, 900))
FAR_START = [[100.0] * 8, [200.0] * 8]


def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(6, (3000,), generator=generator)
    centres = torch.randn(6, 8, generator=generator)
    points = centres[labels] * 2 + torch.randn(3000, 8, generator=generator)
    return points, labels


def evaluate(share, distributed):
    """Everything of this part, on a share of the tokens."""
    points, labels = data()
    index = torch.arange(3000)[share]
    everything, points, labels = points, points[share], labels[share]
    settings = {'distributed': distributed, 'num_iterations': 50}
    seeded = kmeans(points, 20, point_index=index, num_restarts=2, **settings)
    sampled = faiss_kmeans(points, 7, places=index, distributed=distributed, seed=2)
    spherical = kmeans(points, 6, metric='cosine', point_index=index, **settings)
    start = torch.cat([everything[:4], torch.tensor(FAR_START)])
    relocated = kmeans(points, 6, initial_centroids=start, **settings)
    moments = RunningMoments(8).update(points)
    ridge = RidgeAccumulator(8, 6).update(points, labels)
    counts = confusion_matrix(seeded.labels, labels, 20, 6)
    if distributed:
        moments, ridge, counts = moments.all_reduce(), ridge.all_reduce(), all_reduce_sum(counts)
    pca = fit_pca(moments, 4)
    classifier = ridge.fit()
    return {
        'k-means++ centroids': seeded.centroids,
        'k-means++ inertia': seeded.inertia,
        'faiss centroids': sampled.centroids,
        'faiss objective': sampled.inertia,
        'spherical centroids': spherical.centroids,
        'spherical inertia': spherical.inertia,
        'relocated centroids': relocated.centroids,
        'confusion matrix': counts,
        'PCA': pca.components,
        'PCA scale': pca.scale,
        'ridge weight': classifier.weight,
        'ridge bias': classifier.bias,
    }, {
        'k-means++': seeded.labels,
        'faiss': sampled.labels,
        'spherical': spherical.labels,
        'relocated': relocated.labels,
    }


def run_rank(rank, _):
    united, own = evaluate(SHARES[rank], distributed=True)
    alone = kmeans(data()[0][SHARES[rank]], 6, num_iterations=5)  # asks no other rank
    in_order = (slice(0, 900), slice(900, 3000))[rank]
    unnumbered = kmeans(
        data()[0][in_order], 20, distributed=True, num_iterations=0, max_init_points=400
    )
    gathered = all_gather_stack(torch.tensor([rank, 10]))
    return united, own, alone.inertia, gathered, unnumbered.centroids


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    return on_two_ranks(run_rank, tmp_path_factory.mktemp('ranks'))


@pytest.fixture(scope='module')
def single():
    return evaluate(slice(None), distributed=False)


def test_both_ranks_get_the_same(outcomes):
    for name, value in outcomes[0][0].items():
        assert torch.equal(value, outcomes[1][0][name]), name


def test_two_ranks_get_what_one_rank_gets(outcomes, single):
    for name, value in single[0].items():
        torch.testing.assert_close(
            outcomes[0][0][name],
            value,
            rtol=1e-5,
            atol=1e-5,
            msg=lambda text, name=name: name + text,
        )


def test_every_rank_gets_its_points_labels(outcomes, single):
    for share, outcome in zip(SHARES, outcomes, strict=True):
        for name, labels in outcome[1].items():
            assert torch.equal(labels, single[1][name][share]), name


def test_ranks_do_not_wait_for_each_other_unless_asked(outcomes):
    for share, outcome in zip(SHARES, outcomes, strict=True):
        alone = kmeans(data()[0][share], 6, num_iterations=5)
        torch.testing.assert_close(outcome[2], alone.inertia)


def test_sampled_start_of_points_counted_rank_by_rank(outcomes):
    alone = kmeans(data()[0], 20, num_iterations=0, max_init_points=400)
    for outcome in outcomes:
        torch.testing.assert_close(outcome[4], alone.centroids)


def test_gathered_stack_has_every_ranks_entry(outcomes):
    assert outcomes[0][3].tolist() == outcomes[1][3].tolist() == [[0, 10], [1, 10]]
