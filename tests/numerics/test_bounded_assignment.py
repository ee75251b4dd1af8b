"""Nearest centroids kept up by bounds, beside a search over all of them."""

import pytest
import torch

from mmcroc.numerics import bounded_assignment
from mmcroc.numerics.bounded_assignment import BoundedAssignment
from mmcroc.numerics.kmeans_lloyd import first_greatest
from tests.support.devices import ON_DEVICES


def blobs(number, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(7, dim, generator=generator)
    return centres[torch.arange(number) % 7] + torch.randn(number, dim, generator=generator)


@ON_DEVICES
@pytest.mark.parametrize('num_clusters', [1, 5, 32, 40])
@pytest.mark.parametrize('chunk_size', [0, 70])
def test_labels_and_sums_are_those_of_all_distances_however_centroids_move(
    monkeypatch, num_clusters, chunk_size, device
):
    if chunk_size:  # several blocks of bounds too, the last one shorter
        monkeypatch.setattr(bounded_assignment, 'BOUNDS_CHUNK', 250)
    points = blobs(900, 6).to(device)
    found = BoundedAssignment(points, num_clusters, chunk_size)
    generator = torch.Generator().manual_seed(1)
    centroids = points[:num_clusters].clone()
    for round_ in range(12):
        found.assign(centroids)
        distances = torch.cdist(points.double(), centroids.double())
        assert torch.equal(found.labels, distances.argmin(1))
        assert torch.equal(found.counts.long(), found.labels.bincount(minlength=num_clusters))
        sums = torch.zeros(num_clusters, 6, dtype=torch.float64, device=device)
        sums.index_add_(0, found.labels, points.double())
        torch.testing.assert_close(found.sums, sums)
        mean = (found.sums / found.counts.clamp(min=1)[:, None]).float()
        centroids = torch.where(found.counts[:, None] > 0, mean, centroids)
        if round_ in (4, 8):  # a jump, as when an empty cluster takes half of another one
            jump = torch.randn(num_clusters, 6, generator=generator).to(device)
            centroids = (
                centroids + jump * (torch.arange(num_clusters, device=device) % 3 == 0)[:, None]
            )


def test_once_centroids_hardly_move_few_points_are_looked_at(monkeypatch):
    looked_at = []
    look_at = BoundedAssignment._look_at

    def counted(self, here, *args):
        looked_at.append(len(self.points[here]))
        return look_at(self, here, *args)

    monkeypatch.setattr(BoundedAssignment, '_look_at', counted)
    points = blobs(2000, 6)
    found = BoundedAssignment(points, 7)
    found.assign(points[:7].clone())
    assert sum(looked_at) == 2000
    looked_at.clear()
    found.assign(points[:7] + 1e-4)
    assert sum(looked_at) < 100


@ON_DEVICES
@pytest.mark.parametrize('num_rows', [1, 3, 40])
@pytest.mark.parametrize('levels', [2, 1000])
def test_first_greatest_is_the_maximum_and_the_first_row_that_has_it(num_rows, levels, device):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(levels, (num_rows, 500), generator=generator).float()
    scores[:, :5] = -torch.inf
    greatest, place = first_greatest(scores.to(device))
    assert torch.equal(greatest.cpu(), scores.amax(0))
    assert place.tolist() == scores.numpy().argmax(0).tolist()
