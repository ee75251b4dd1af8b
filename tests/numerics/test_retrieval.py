"""Labels by retrieval."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from mmcroc.numerics.neighbours import (
    majority_vote,
    nearest_entries,
    nearest_labels,
    pixel_votes,
)


def drawn(queries=33, memory=500, dim=8, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        F.normalize(torch.randn(queries, dim, generator=generator), dim=1),
        F.normalize(torch.randn(memory, dim, generator=generator), dim=1),
        torch.randint(classes, (memory,), generator=generator),
    )


@pytest.mark.parity
@pytest.mark.parametrize('chunk_size', [None, 31 * 7, 100])
def test_neighbours_and_votes_of_the_release(recorded_hsg_ops, chunk_size):
    with np.load(recorded_hsg_ops) as file:
        case = {key: torch.from_numpy(file[key]) for key in file.files if 'retrieval' in key}
    near = nearest_labels(
        case['retrieval_query'],
        case['retrieval_memory'],
        case['retrieval_memory_label'],
        chunk_size=chunk_size,
    )
    assert torch.equal(near, case['retrieval_top20'])
    classes = int(case['retrieval_memory_label'].max()) + 1
    assert torch.equal(majority_vote(near, classes), case['retrieval_prediction'])


@pytest.mark.parametrize('chunk_size', [None, 1, 50, 4096 * 2, 4096 * 500])
def test_neighbours_are_those_of_scikit_learn(chunk_size):
    queries, memory, _ = drawn()
    names = torch.arange(len(memory))  # labels that tell which entry it was
    near = nearest_labels(queries, memory, names, 7, chunk_size)
    found = NearestNeighbors(n_neighbors=7, metric='cosine').fit(memory.numpy())
    assert near.tolist() == found.kneighbors(queries.numpy())[1].tolist()


@pytest.mark.parametrize('chunk_size', [None, 50])
def test_cosines_go_with_their_entries(chunk_size):
    queries, memory, _ = drawn()
    cosines, places = nearest_entries(queries, memory, 7, chunk_size)
    torch.testing.assert_close(cosines, (queries[:, None] * memory[places]).sum(-1))
    torch.testing.assert_close(cosines, (queries @ memory.T).sort(1, descending=True)[0][:, :7])
    cosines, places = nearest_entries(queries[:0], memory, 7, chunk_size)
    assert cosines.shape == places.shape == (0, 7) and places.dtype == torch.int64


def test_all_entries_may_be_neighbours():
    queries, memory, labels = drawn(memory=20)
    near = nearest_labels(queries, memory, labels, 20, chunk_size=33 * 3)
    assert torch.equal(near.sort(1).values, labels.sort().values.expand(33, -1))


def test_votes_are_those_of_counting():
    labels = drawn(memory=700)[2].view(100, 7)
    want = [np.bincount(row, minlength=5).argmax() for row in labels.numpy()]
    assert majority_vote(labels, 5).tolist() == want


def test_the_lowest_class_wins_a_tie():
    assert majority_vote(torch.tensor([[3, 1, 3, 1], [4, 0, 2, 3]]), 5).tolist() == [1, 0]


def test_no_query_has_no_neighbours():
    _, memory, labels = drawn()
    assert nearest_labels(torch.empty(0, 8), memory, labels).shape == (0, 20)


@pytest.mark.parametrize(
    ('dim', 'number', 'message'),
    [(8, 501, 'memory of 500 entries'), (8, 0, 'at least 1'), (7, 20, 'same model')],
)
def test_what_does_not_fit_is_refused(dim, number, message):
    queries, memory, labels = drawn()
    with pytest.raises(ValueError, match=message):
        nearest_labels(queries[:, :dim], memory, labels, number)


def test_labels_of_another_number_are_refused():
    queries, memory, labels = drawn()
    with pytest.raises(ValueError, match='one label'):
        nearest_labels(queries, memory, labels[1:])


def test_pixels_are_voted_on_one_by_one_as_torchs_mode():
    labels = torch.randint(3, (4, 6, 10), generator=torch.Generator().manual_seed(0))
    found = pixel_votes(labels.byte(), [2, 6], 3)
    assert torch.equal(found, torch.stack([labels[:, :k].mode(1).values for k in (2, 6)]))


def test_void_pixels_have_no_vote_and_where_all_are_void_the_patches_vote():
    labels = torch.tensor([[[255, 255, 1], [255, 2, 1], [0, 255, 0]]])
    assert pixel_votes(labels, [2, 3], 3).tolist() == [[[1, 2, 1]], [[0, 2, 1]]]
