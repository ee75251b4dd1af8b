"""Groups of groups."""

import torch
from torch.testing import assert_close

from mmcroc.hsg.grouping import coarser_assignment, group_means


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_coarse_probabilities_are_sums_over_the_fine_groups():
    fine, transition = draw(2, 8, 5).softmax(1), draw(2, 4, 8, seed=1).softmax(1)
    coarse = coarser_assignment(fine, transition)
    for n in range(2):
        for group in range(4):
            for node in range(5):
                want = sum(transition[n, group, k] * fine[n, k, node] for k in range(8))
                assert_close(coarse[n, group, node], want)
    assert_close(coarse.sum(1), torch.ones(2, 5, dtype=torch.float64))


def test_nodes_of_one_hard_fine_group_share_their_coarse_group():
    group = torch.randint(8, (50,), generator=torch.Generator().manual_seed(2))
    fine = torch.nn.functional.one_hot(group, 8).double().mT[None]
    coarse = coarser_assignment(fine, draw(1, 4, 8).softmax(1))[0].argmax(0)
    for k in range(8):
        assert len(coarse[group == k].unique()) <= 1


def test_means_are_those_of_a_loop_and_zero_without_members():
    probabilities, values = draw(3, 6, 9).softmax(1), draw(3, 9, 4, seed=1)
    mask = torch.arange(9) < torch.tensor([[9], [2], [0]])
    found = group_means(values, probabilities, mask)
    empty = 0
    for n in range(3):
        for k in range(6):
            members = [
                values[n, m]
                for m in range(9)
                if mask[n, m] and int(probabilities[n, :, m].argmax()) == k
            ]
            empty += not members
            want = sum(members) / len(members) if members else torch.zeros(4, dtype=torch.float64)
            assert_close(found[n, k], want)
    assert 6 < empty < 18


def test_means_pass_gradients_to_the_members_only():
    probabilities, values = draw(1, 3, 5).softmax(1), draw(1, 5, 2).requires_grad_()
    mask = torch.tensor([[True, True, True, False, False]])
    group_means(values, probabilities, mask).sum().backward()
    assert values.grad[0, :3].all() and not values.grad[0, 3:].any()
