"""The cross-view losses against the released ones, against loops, and their properties."""

import math

import pytest
import torch

from mmcroc.croc.losses import (
    cross_view_cross_entropy,
    mean_entropy,
    teacher_probabilities,
    updated_centers,
)


def test_cross_entropy_agrees_with_loops_and_leaves_invalid_rows_out():
    torch.manual_seed(0)
    teacher = torch.randn(2, 5, 7).softmax(-1)
    student = torch.randn(2, 5, 7)
    valid = torch.tensor([True, False, True, True, False])
    teacher[:, 1] = float('nan')
    total = 0.0
    for t, s in ((0, 1), (1, 0)):
        rows = []
        for r in (0, 2, 3):
            log_p = [v / 0.1 - torch.logsumexp(student[s, r] / 0.1, 0) for v in student[s, r]]
            rows.append(-sum(p * q for p, q in zip(teacher[t, r], log_p, strict=True)))
        total += sum(rows) / len(rows)
    got = cross_view_cross_entropy(teacher, student, 0.1, valid)
    torch.testing.assert_close(got, total / 2)


def test_without_a_valid_row_loss_and_gradient_are_zero():
    student = torch.randn(2, 3, 4, requires_grad=True)
    none = torch.zeros(3, dtype=torch.bool)
    loss = cross_view_cross_entropy(torch.full((2, 3, 4), 0.25), student, 0.1, none)
    loss.backward()
    assert loss == 0 and not student.grad.any()


def test_a_view_is_compared_with_the_other_never_with_itself():
    """Students that repeat their own view's sharp teacher, which the other view contradicts."""
    teacher = torch.eye(4)[[0, 1]].view(2, 1, 4)
    own, other = 10 * teacher, 10 * teacher.flip(0)
    assert cross_view_cross_entropy(teacher, other) < 1e-6
    assert cross_view_cross_entropy(teacher, own) > 10


def test_entropy_is_known_for_uniform_and_certain_rows():
    rows = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]]).expand(2, 2, 4)
    assert mean_entropy(rows).item() == pytest.approx(math.log(4) / 2)
    assert mean_entropy(rows, torch.tensor([True, False])).item() == pytest.approx(math.log(4))


def test_the_centre_is_subtracted_before_the_temperature():
    logits, center = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 1.5]])
    torch.testing.assert_close(
        teacher_probabilities(logits, center, 0.04), torch.tensor([[0.5, 0.5]])
    )


def test_centres_move_towards_the_mean_of_valid_rows():
    logits = torch.tensor([[[2.0, 0.0], [9.0, 9.0]], [[4.0, 2.0], [9.0, 9.0]]])
    valid = torch.tensor([True, False])
    (center,) = updated_centers([torch.ones(1, 2)], [logits], [valid], 0.9)
    torch.testing.assert_close(center, torch.tensor([[0.9 + 0.3, 0.9 + 0.1]]))
    (kept,) = updated_centers([torch.ones(1, 2)], [logits], [valid & False], 0.9)
    assert torch.equal(kept, torch.ones(1, 2))
