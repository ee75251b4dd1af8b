import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from torch.nn import functional as F

from mmcroc.numerics.kmeans import kmeans


@pytest.fixture(scope='module')
def blobs():
    points, _ = make_blobs(4000, 12, centers=9, cluster_std=2.5, random_state=0)
    return torch.from_numpy(points).float()


def test_same_start_gives_scikit_learns_labels(blobs):
    start = blobs[:9]
    ours = kmeans(blobs, 9, initial_centroids=start, num_iterations=300)
    theirs = KMeans(9, init=start.numpy(), n_init=1, tol=0, algorithm='lloyd').fit(blobs.numpy())
    assert ours.num_iterations == theirs.n_iter_
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)
    np.testing.assert_allclose(ours.centroids, theirs.cluster_centers_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.inertia, theirs.inertia_, rtol=1e-5)


def test_few_iterations_from_the_same_start_are_scikit_learns(blobs):
    start = blobs[:9]
    ours = kmeans(blobs, 9, initial_centroids=start, num_iterations=3)
    theirs = KMeans(9, init=start.numpy(), n_init=1, max_iter=3, tol=0).fit(blobs.numpy())
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)


@pytest.mark.parametrize('num_clusters', [9, 40])
def test_inertia_is_within_a_percent_of_scikit_learns(blobs, num_clusters):
    ours = kmeans(blobs, num_clusters, num_restarts=5)
    theirs = KMeans(num_clusters, n_init=5, random_state=0).fit(blobs.numpy())
    assert ours.inertia <= 1.01 * theirs.inertia_


def test_plus_plus_start_finds_small_groups_that_a_random_one_misses():
    sizes = [3000] + [20] * 11
    points, _ = make_blobs(sizes, 5, cluster_std=0.1, random_state=0)
    points = torch.from_numpy(points)

    def inertia(seed, **start):
        return kmeans(points, 12, num_iterations=0, seed=seed, **start).inertia

    def random_start(seed):
        order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
        return points[order[:12]]

    random = [inertia(seed, initial_centroids=random_start(seed)) for seed in range(5)]
    assert max(inertia(seed) for seed in range(5)) < 0.1 * min(random)


def test_start_from_a_sample_is_nearly_as_good(blobs):
    settings = {'num_iterations': 0, 'num_clusters': 20}
    sampled = [kmeans(blobs, max_init_points=500, seed=seed, **settings) for seed in range(3)]
    whole = [kmeans(blobs, seed=seed, **settings) for seed in range(3)]
    assert not torch.equal(sampled[0].centroids, whole[0].centroids)
    inertia = [sum(run.inertia for run in runs) for runs in (sampled, whole)]
    assert inertia[0] < 1.1 * inertia[1]
    few = kmeans(blobs[:30], max_init_points=10_000, **settings)
    assert len(few.centroids.unique(dim=0)) == 20


def test_labels_are_the_nearest_centroid_and_inertia_their_distance(blobs):
    result = kmeans(blobs, 20, num_iterations=4)
    squared = torch.cdist(blobs.double(), result.centroids.double()).square()
    torch.testing.assert_close(squared.argmin(1), result.labels)
    torch.testing.assert_close(squared.amin(1).sum(), result.inertia, rtol=1e-6, atol=0)


def test_each_iteration_lowers_inertia(blobs):
    runs = [kmeans(blobs, 15, num_iterations=n) for n in range(8)]
    inertia = torch.stack([run.inertia for run in runs])
    assert (inertia.diff() < 0).all()
    assert [run.num_iterations for run in runs] == list(range(8))


def test_iterations_stop_where_another_changes_nothing(blobs):
    stopped = kmeans(blobs, 5, num_iterations=200)
    assert stopped.num_iterations < 200
    start = stopped.centroids
    unstopped = kmeans(blobs, 5, initial_centroids=start, num_iterations=1)
    assert torch.equal(stopped.labels, unstopped.labels)


def test_restarts_take_the_least_inertia(blobs):
    single = [kmeans(blobs, 30, num_iterations=5, num_restarts=n).inertia for n in range(1, 6)]
    assert single == sorted(single, reverse=True)
    assert single[-1] < single[0]


def test_equal_seeds_give_equal_labels_and_others_do_not(blobs):
    first, again, other = (kmeans(blobs, 30, seed=seed, num_iterations=5) for seed in (3, 3, 4))
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.labels, other.labels)


def test_global_random_state_is_neither_used_nor_touched(blobs):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = kmeans(blobs, 9)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first.labels, kmeans(blobs, 9).labels)


def test_chunks_do_not_change_labels(blobs):
    whole = kmeans(blobs, 9, chunk_size=10_000)
    torch.testing.assert_close(whole.labels, kmeans(blobs, 9, chunk_size=333).labels)


def test_points_may_be_shuffled_with_their_index(blobs):
    order = torch.randperm(len(blobs), generator=torch.Generator().manual_seed(0))
    straight = kmeans(blobs, 9)
    shuffled = kmeans(blobs[order], 9, point_index=order)
    assert torch.equal(straight.labels[order], shuffled.labels)


def test_points_far_from_the_origin_keep_their_labels(blobs):
    points = (blobs * 1024).round() / 1024  # so that 4096 can be added without rounding
    settings = {'num_clusters': 9, 'num_iterations': 20}
    near = kmeans(points, initial_centroids=points[:9], **settings)
    far = kmeans(points + 4096, initial_centroids=points[:9] + 4096, **settings)
    assert (near.labels == far.labels).float().mean() > 0.999
    torch.testing.assert_close(far.inertia, near.inertia, rtol=1e-5, atol=0)


def test_spherical_iteration_is_its_definition(blobs):
    points = F.normalize(blobs.double(), dim=1)
    start = centroids = points[:7]
    for _ in range(6):
        labels = (points @ centroids.T).argmax(1)
        sums = torch.stack([points[labels == k].sum(0) for k in range(7)])
        centroids = F.normalize(sums, dim=1)
    labels = (points @ centroids.T).argmax(1)
    result = kmeans(
        5 * blobs.double(), 7, metric='cosine', initial_centroids=3 * start, num_iterations=6
    )
    assert torch.equal(labels, result.labels)
    similarity = (points * result.centroids[labels]).sum(1)
    torch.testing.assert_close(result.inertia, (1 - similarity).sum())


def test_batched_problems_are_those_problems_alone(blobs):
    points = blobs[:3000].unflatten(0, (3, 1000))
    for metric in ('euclidean', 'cosine'):
        settings = {'metric': metric, 'num_iterations': 8}
        together = kmeans(points, 6, initial_centroids=points[:, :6], **settings)
        for row in range(3):
            alone = kmeans(points[row], 6, initial_centroids=points[row, :6], **settings)
            assert torch.equal(together.labels[row], alone.labels)
            torch.testing.assert_close(together.centroids[row], alone.centroids)
            torch.testing.assert_close(together.inertia[row], alone.inertia)


def test_lower_precision_input_is_computed_in_float32(blobs):
    half = kmeans(blobs.bfloat16(), 9)
    with torch.autocast('cpu', torch.bfloat16):
        under_autocast = kmeans(blobs.bfloat16().float(), 9)
    assert half.centroids.dtype == torch.float32
    assert torch.equal(half.labels, under_autocast.labels)
    assert kmeans(blobs.double(), 9).centroids.dtype == torch.float64
