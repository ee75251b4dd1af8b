"""The operations of HSG against numbers of the released implementation, in float64."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmcroc.hsg.contrast import segsort_loss
from mmcroc.hsg.modularity import balance_loss, modularity_loss, neighbour_graph
from mmcroc.hsg.segments import cluster_pixels, cut_along_regions

pytestmark = pytest.mark.parity


def recorded(path):
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if key != 'cfg'}


@pytest.mark.parametrize('concentration', [10, 16])
@pytest.mark.parametrize('chunk_size', [None, 1, 7])
def test_contrast_loss_and_gradient(recorded_hsg_ops, concentration, chunk_size):
    case = recorded(recorded_hsg_ops)
    embedding = case['segsort_embedding'].requires_grad_()
    loss = segsort_loss(
        embedding,
        case['segsort_prototype'],
        case['segsort_pixel_segment'],
        case['segsort_segment_label'],
        concentration=concentration,
        chunk_size=chunk_size,
    )
    loss.backward()
    want = f'segsort_c{concentration}'
    assert_close(loss.detach(), case[f'{want}_loss'], rtol=1e-8, atol=0)
    # The release's gradient cancels terms of exp(κ) / numerator: up to 1e-8 even in float64.
    assert_close(embedding.grad, case[f'{want}_grad'], rtol=1e-8, atol=5e-8)


@pytest.mark.parametrize('neighbours', [2, 4])
@pytest.mark.parametrize('single_graph', [False, True])
def test_modularity_balance_and_gradient(recorded_hsg_ops, neighbours, single_graph):
    case = recorded(recorded_hsg_ops)
    mask = ~case['dmon_padding']
    graph = neighbour_graph(
        case['dmon_nodes'].mT, mask, neighbours, None if single_graph else case['dmon_view']
    )
    probabilities = case['dmon_prob'].requires_grad_()
    assignment = (probabilities * mask[:, None]).mT
    modularity, balance = modularity_loss(assignment, graph), balance_loss(assignment)
    want = f'dmon_k{neighbours}' + '_single_graph' * single_graph
    assert_close(modularity.mean().detach(), case[f'{want}_loss'], rtol=1e-10, atol=0)
    assert_close(balance.mean().detach(), case[f'{want}_collapse'], rtol=1e-10, atol=0)
    if f'{want}_grad_prob' in case:
        (modularity.mean() + balance.mean()).backward()
        assert_close(probabilities.grad, case[f'{want}_grad_prob'], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize('cut', [False, True])
def test_segments(recorded_hsg_ops, cut):
    case = recorded(recorded_hsg_ops)
    regions = case['kmeans_oversegmentation']
    clusters = cluster_pixels(
        case['kmeans_embedding'],
        torch.ones_like(regions, dtype=torch.bool),
        tuple(case['kmeans_grid'].tolist()),
        int(case['kmeans_iterations']),
    )
    segments = cut_along_regions(clusters, regions if cut else regions * 0, num_views=1)
    first = segments.counts.cumsum(0) - segments.counts
    found = (segments.pixel_segment + first[:, None]).flatten()
    want = case['kmeans_segment' if cut else 'kmeans_segment_no_overseg']
    assert torch.equal(found, want)
