"""k-means with faiss's semantics: faiss's own results, and the algorithm written out in numpy."""

import numpy as np
import pytest
import torch

from mmcroc.numerics.faiss_kmeans import (
    faiss_kmeans,
    mersenne_twister,
    permutation_head,
    split_clusters,
    train_from,
)


def spiral(number):
    """Points on a flat spiral in seven layers."""
    i = np.arange(number)
    angle = 2.399963 * i
    x, y = np.sqrt(i) * np.cos(angle), 0.5 * np.sqrt(i) * np.sin(angle)
    return torch.from_numpy(np.stack([x, y, (i % 7) * 2.0], 1).astype('float32'))


def test_generator_is_cpp_mt19937():
    # The C++ standard demands this 10,000th output of a default-seeded std::mt19937 (5489).
    assert mersenne_twister(5489, 10_000)[-1] == 4_123_659_995


def test_permutation_is_faiss_rand_perm():
    assert permutation_head(12, 12, seed=7).tolist() == [3, 4, 0, 5, 7, 9, 11, 6, 8, 1, 10, 2]
    assert permutation_head(12, 5, seed=7).tolist() == [3, 4, 0, 5, 7]


@pytest.mark.parametrize(
    ('seed', 'sizes', 'objective', 'first'),
    [
        (0, [364, 419, 358, 444, 415], 164188.05, [13.6906, 10.0763, 6.1957]),
        (3, [430, 356, 438, 429, 347], 162276.92, [-29.7393, 3.0016, 6.2652]),
    ],
)
def test_clusters_are_those_of_faiss_for_the_same_seed(seed, sizes, objective, first):
    """faiss 1.15.1: Kmeans(3, 5, niter=100, nredo=3, seed=seed); trained on 1,280 of the 2,000."""
    result = faiss_kmeans(spiral(2000), 5, num_restarts=3, seed=seed)
    assert result.labels.bincount().tolist() == sizes
    assert float(result.inertia) == pytest.approx(objective, rel=1e-5)
    np.testing.assert_allclose(result.centroids[0], first, atol=1e-3)


def test_empty_clusters_are_split_as_by_faiss():
    """faiss 1.15.1: one iteration from three centroids that no point is nearest to."""
    start = [[0, 0, 0], [1, 1, 6], [90, 90, 90], [1, 0, 12], [-90, 0, 0], [80, 0, 0]]
    found = train_from(spiral(300), torch.tensor(start).float(), num_iterations=1).centroids
    want = [
        [-2.6869986, -0.8286446, 1.3010538],
        [1.9554912, 1.2089518, 5.7524409],
        [-2.6922520, -0.8270278, 1.3035975],
        [-0.0699941, -0.8317723, 10.7450523],
        [-0.0701309, -0.8301494, 10.7660599],
        [1.9593142, 1.2065929, 5.7636876],
    ]
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def test_centroids_stay_where_no_cluster_is_empty():
    centroids = torch.randn(4, 3)
    assert split_clusters(centroids, torch.tensor([5.0, 1, 2, 3]), 11) is centroids


def written_out(points, num_clusters, niter, nredo, seed):
    """faiss's Clustering::train, one loop after the other; float64 but for what is drawn."""

    def permutation(size, seed):
        order = list(range(size))
        bits = np.random.RandomState(seed).randint(0, 2**32, size, dtype=np.uint32).tolist()
        for i in range(size - 1):
            j = i + bits[i] % (size - i)
            order[i], order[j] = order[j], order[i]
        return order

    points = points.astype(float)
    sample = points
    if len(points) > 256 * num_clusters:
        sample = points[permutation(len(points), seed)[: 256 * num_clusters]]
    best, best_objective = None, np.inf
    for redo in range(nredo):
        starts = permutation(len(sample), seed + 1 + redo * 15486557)[:num_clusters]
        centroids = sample[starts]
        for _ in range(niter):
            distances = ((sample[:, None] - centroids) ** 2).sum(-1)
            labels, objective = distances.argmin(1), distances.min(1).sum()
            centroids = np.array([sample[labels == k].mean(0) for k in range(num_clusters)])
        if objective < best_objective:
            best, best_objective = centroids, objective
    return ((points[:, None] - best) ** 2).sum(-1).argmin(1), best, best_objective


@pytest.mark.parametrize('niter', [2, 30])
def test_a_run_is_that_of_the_algorithm_written_out(niter):
    """Stopped before the fixed point too: the objective that chooses is the last E step's."""
    points = np.random.default_rng(0).normal(size=(1500, 2))
    labels, centroids, objective = written_out(points, 4, niter, nredo=6, seed=5)
    settings = dict(num_iterations=niter, num_restarts=6, seed=5)
    result = faiss_kmeans(torch.from_numpy(points), 4, **settings)
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_allclose(result.centroids, centroids, atol=1e-5)
    assert float(result.inertia) == pytest.approx(objective, rel=1e-6)


def test_points_outside_the_sample_do_not_move_centroids():
    points = spiral(2000)
    result = faiss_kmeans(points, 3, seed=1)
    outside = torch.ones(2000, dtype=torch.bool)
    outside[permutation_head(2000, 3 * 256, seed=1)] = False
    points[outside] += 1000
    moved = faiss_kmeans(points, 3, seed=1)
    torch.testing.assert_close(moved.centroids, result.centroids, rtol=0, atol=0)
    assert len(moved.labels) == 2000


def test_no_more_points_than_clusters_are_refused():
    with pytest.raises(ValueError, match='num_clusters=5 from 5 points'):
        faiss_kmeans(spiral(5), 5)
