import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from mmcroc.numerics.kmeans import kmeans


@pytest.fixture
def points():
    return torch.randn(600, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_relocation_is_scikit_learns(points):
    # Two starting centroids so far away that nothing is nearest to them.
    start = torch.cat([points[:5], torch.full((2, 4), 1e3), points[5:7]]).double()
    ours = kmeans(points, 9, initial_centroids=start)
    theirs = KMeans(9, init=start.numpy(), n_init=1, tol=0, max_iter=100).fit(points.numpy())
    assert len(ours.labels.unique()) == 9
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)


def test_relocation_gives_to_the_empty_and_takes_from_the_donor():
    points = torch.tensor([[0.0], [1.0], [2.0], [101.0], [102.0], [111.0]])
    start = torch.tensor([[0.0], [100.0], [5000.0]])
    result = kmeans(points, 3, initial_centroids=start, num_iterations=1)
    # 111 is farthest from its centroid, 100: it leaves {101, 102, 111}.
    torch.testing.assert_close(result.centroids, torch.tensor([[1.0], [101.5], [111.0]]))


def test_duplicates_leave_clusters_empty_without_nan():
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat_interleave(10, 0)
    result = kmeans(points, 4)
    assert result.centroids.isfinite().all()
    assert result.inertia == 0


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'num_clusters': 0}, 'num_clusters must be at least 1'),
        ({'num_clusters': 601}, 'more than the 600 points'),
        ({'metric': 'l1'}, "metric must be one of .* got 'l1'"),
        ({'point_index': torch.zeros(5)}, r'must be \(600,\) for points of \(600, 4\)'),
        ({'initial_centroids': torch.zeros(2, 3)}, r'must be \(3, 4\) .* got \(2, 3\)'),
        ({'initial_centroids': torch.zeros(3, 4), 'num_restarts': 2}, 'would all be alike'),
    ],
)
def test_errors_say_what_was_wrong(points, settings, message):
    with pytest.raises(ValueError, match=message):
        kmeans(points, **{'num_clusters': 3, **settings})
