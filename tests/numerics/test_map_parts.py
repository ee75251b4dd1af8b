import pytest
import torch

from mmcroc.numerics.kmeans import kmeans
from mmcroc.numerics.kmeans_lloyd import NUM_PARTS, map_parts, split_in_parts


@pytest.fixture
def num_threads():
    """Sets the number of threads; the old one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize('length', [1, 7, 8, 9, 1000, 1001])
@pytest.mark.parametrize('chunk_size', [1, 8, 5000])
def test_parts_cover_every_index_once_in_order(length, chunk_size):
    parts = split_in_parts(length, chunk_size, 'cpu')
    assert [i for part in parts for i in part] == list(range(length))
    assert len(parts) <= NUM_PARTS
    assert all(part.start % chunk_size == 0 for part in parts)


def test_another_device_has_one_part():
    assert split_in_parts(1000, 1, 'cuda') == [range(1000)]


def test_results_come_in_order_and_threads_come_back(num_threads):
    num_threads(2)
    seen = map_parts(lambda part: (part, torch.get_num_threads()), list(range(20)))
    assert [part for part, _ in seen] == list(range(20))
    assert {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == 2


def test_an_error_in_a_part_is_raised_and_threads_come_back(num_threads):
    def fail(part):
        raise ValueError(f'part {part}')

    num_threads(2)
    with pytest.raises(ValueError, match='part 0'):
        map_parts(fail, [0, 1])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_kmeans_does_not_depend_on_the_number_of_threads(num_threads, metric):
    points = torch.randn(3000, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for number in (1, 2, 3):
        num_threads(number)
        results.append(kmeans(points, 9, metric=metric, num_iterations=12, chunk_size=64))
    for other in results[1:]:
        assert other.labels.equal(results[0].labels)
        assert other.centroids.equal(results[0].centroids)


def test_kmeans_takes_points_that_want_gradients_and_inference_mode(num_threads):
    num_threads(2)
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    labels = kmeans(points, 5, chunk_size=32).labels
    assert kmeans(points.clone().requires_grad_(), 5, chunk_size=32).labels.equal(labels)
    with torch.inference_mode():
        assert kmeans(points.clone(), 5, chunk_size=32).labels.equal(labels)
