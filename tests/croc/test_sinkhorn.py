"""Sinkhorn's marginals, and its plan against an exact solver."""

import numpy as np
import torch
from scipy.optimize import linprog

from mmcroc.croc.clustering import sinkhorn


def marginals(n, k, seed=0):
    g = torch.Generator().manual_seed(seed)
    rows, columns = torch.rand(n, generator=g) + 0.1, torch.rand(k, generator=g) + 0.1
    return rows / rows.sum(), columns / columns.sum()


def test_columns_hold_after_one_round_and_rows_in_the_limit():
    rows, columns = marginals(30, 5)
    cost = torch.rand(30, 5)
    few = sinkhorn(cost, rows, columns, 20.0, 1)
    torch.testing.assert_close(few.sum(0), columns)
    many = sinkhorn(cost.double(), rows.double(), columns.double(), 20.0, 500)
    torch.testing.assert_close(many.sum(1), rows.double(), rtol=1e-5, atol=1e-8)


def test_strong_regularisation_approaches_the_optimal_transport():
    rows, columns = (m.double().numpy() for m in marginals(12, 4))
    rows, columns = rows / rows.sum(), columns / columns.sum()
    cost = np.random.default_rng(0).random((12, 4))
    constraints = [np.kron(np.eye(12), np.ones(4)), np.kron(np.ones(12), np.eye(4))]
    best = linprog(cost.ravel(), A_eq=np.vstack(constraints), b_eq=np.r_[rows, columns]).fun
    plan = sinkhorn(*(torch.from_numpy(x) for x in (cost, rows, columns)), 500.0, 5000)
    assert abs((plan.numpy() * cost).sum() - best) < 5e-3


def test_a_row_that_underflows_becomes_small_not_nan():
    cost = torch.tensor([[0.0, 0.0], [1e6, 1e6]])
    plan = sinkhorn(cost, torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5]))
    assert plan.isfinite().all()
    assert (plan[1] == 1e-8).all()
