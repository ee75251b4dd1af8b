"""Goodness of a grouping against loops over nodes and against networkx's modularity."""

import networkx
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mmcroc.hsg.modularity import balance_loss, modularity_loss, neighbour_graph
from tests.support.hsg_oracle import looped_graph


def draw_nodes(images=4, places=11, channels=5, seed=0):
    """Unit nodes, masks (the last image has one node only, the first all) and views."""
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(images, places, channels, generator=generator, dtype=torch.float64)
    counts = torch.tensor([places, 7, 3, 1])[:images]
    mask = torch.arange(places) < counts[:, None]
    view = (torch.arange(places) >= counts[:, None] // 2).long().masked_fill(~mask, -1)
    return F.normalize(nodes, dim=-1) * mask[..., None], mask, view


@pytest.mark.parametrize('num_neighbours', [1, 2, 4, 50])
@pytest.mark.parametrize('per_view', [True, False])
def test_graph_is_that_of_a_loop(num_neighbours, per_view):
    nodes, mask, view = draw_nodes()
    found = neighbour_graph(nodes, mask, num_neighbours, view if per_view else None)
    for i in range(len(nodes)):
        want = looped_graph(nodes[i], mask[i], num_neighbours, view[i] if per_view else None)
        assert torch.equal(found[i], want)


def test_ties_at_the_last_place_all_become_edges():
    nodes = torch.zeros(1, 4, 3, dtype=torch.float64)
    nodes[0, :, 0] = 1
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert torch.equal(neighbour_graph(nodes, mask, 1)[0], 1 - torch.eye(4, dtype=torch.float64))


def test_a_lone_node_keeps_its_loop_and_others_have_none():
    nodes, mask, view = draw_nodes()
    graph = neighbour_graph(nodes, mask, 2, view)
    loops = graph.diagonal(dim1=1, dim2=2)
    assert loops[3].tolist() == [1] + [0] * 10 and not loops[:3].any()


def test_the_graph_is_not_symmetrised_and_does_not_depend_on_padding():
    nodes, mask, view = draw_nodes()
    graph = neighbour_graph(nodes, mask, 1)
    assert not torch.equal(graph, graph.mT)
    wider = neighbour_graph(F.pad(nodes, (0, 0, 0, 5)), F.pad(mask, (0, 5)), 1)
    assert torch.equal(wider, F.pad(graph, (0, 5, 0, 5)))
    noisy = nodes + 9 * ~mask[..., None]
    assert torch.equal(neighbour_graph(noisy, mask, 2, view), neighbour_graph(nodes, mask, 2, view))


def test_modularity_of_a_symmetric_graph_and_hard_groups_is_networkx():
    # networkx's m counts an edge once, so its 2m is Σd; the release's 2m is 2 Σd.
    graph = networkx.karate_club_graph()
    adjacency = torch.from_numpy(networkx.to_numpy_array(graph, weight=None))
    groups = networkx.community.greedy_modularity_communities(graph)
    assignment = torch.zeros(34, len(groups), dtype=torch.float64)
    for k, members in enumerate(groups):
        assignment[list(members), k] = 1
    degree, total = adjacency.sum(1), adjacency.sum()
    within = (assignment.mT @ adjacency @ assignment).trace() / total
    expected = ((degree @ assignment) / total).square().sum()
    score = networkx.community.modularity(graph, groups, weight=None)
    assert_close(float(within - expected), score)
    found = modularity_loss(assignment[None], adjacency[None])
    assert_close(found.item(), float(1 - within / 2 + expected / 4))


def test_modularity_and_balance_are_those_of_loops():
    nodes, mask, view = draw_nodes()
    graph = neighbour_graph(nodes, mask, 2, view)
    generator = torch.Generator().manual_seed(5)
    assignment = torch.rand(4, 11, 3, generator=generator, dtype=torch.float64)
    assignment = assignment.softmax(-1) * mask[..., None]
    modularity, balance = modularity_loss(assignment, graph), balance_loss(assignment)
    for s, a, q, b in zip(assignment, graph, modularity, balance, strict=True):
        d = a.sum(1)
        m = 2 * d.sum()
        trace = sum(
            s[i, k] * (a[i, j] - d[i] * d[j] / m) * s[j, k]
            for i in range(11)
            for j in range(11)
            for k in range(3)
        )
        assert_close(q, 1 - trace / m)
        assert_close(b, s.sum(0).norm() * 3**0.5 / 11)


def test_gradients_and_images_without_nodes_or_edges():
    nodes, mask, view = draw_nodes()
    graph = neighbour_graph(nodes, mask, 2, view)
    graph[2] = 0
    assignment = torch.rand(4, 11, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: modularity_loss(s, graph), assignment)
    assert torch.autograd.gradcheck(balance_loss, assignment)
    losses = modularity_loss(assignment, graph)
    (gradient,) = torch.autograd.grad(losses.sum(), assignment)
    assert losses[2] == 1 and not gradient[2].any()
    nothing = torch.zeros(1, 11, 3, requires_grad=True)
    (balance_loss(nothing) + modularity_loss(nothing, graph[:1])).sum().backward()
    assert torch.isfinite(nothing.grad).all()


@pytest.mark.parametrize('groups', [2, 8])
def test_balance_runs_from_one_to_the_root_of_the_number_of_groups(groups):
    even = torch.eye(groups).repeat(5, 1)[None]
    assert_close(balance_loss(even).item(), 1.0)
    one = torch.zeros(1, 10, groups)
    one[..., 0] = 1
    assert_close(balance_loss(one).item(), groups**0.5)
    # As released, padded places are counted too.
    assert_close(balance_loss(F.pad(one, (0, 0, 0, 10))).item(), groups**0.5 / 2)


def test_the_graph_carries_no_gradient():
    nodes, mask, view = draw_nodes()
    assert not neighbour_graph(nodes.requires_grad_(), mask, 2, view).requires_grad
