"""Softmax regression: by L-BFGS to scikit-learn's optimum, several heads by SGD at once."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from mmcroc.numerics import softmax_regression
from mmcroc.numerics.softmax_regression import LEFT_OUT, logistic_regression, train_jointly
from tests.support.processes import on_two_ranks

RATES = [0.01, 0.3]


def data(number=900):
    """Tokens of four overlapping classes, a tenth of them left out."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (number,), generator=generator)
    centres = torch.randn(4, 6, generator=generator)
    tokens = centres[labels] + torch.randn(number, 6, generator=generator)
    labels[torch.rand(number, generator=generator) < 0.1] = LEFT_OUT
    return tokens.half(), labels


@pytest.mark.parametrize('strength', [1e-4, 1e-2, 1.0, 1e3])
def test_the_optimum_is_scikit_learns(strength):
    tokens, labels = data()
    weight, bias = logistic_regression(tokens, labels, 4, strength, tolerance=1e-5)
    fit = labels != LEFT_OUT
    oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    oracle.fit(tokens[fit].double().numpy(), labels[fit].numpy())
    want = torch.from_numpy(oracle.coef_)
    torch.testing.assert_close(weight, want, rtol=0, atol=3e-3 * float(want.abs().max()))
    # An equal summand of all biases changes no score.
    offset = torch.from_numpy(oracle.intercept_)
    torch.testing.assert_close(
        bias - bias.mean(), offset - offset.mean(), rtol=0, atol=5e-3 * max(1, float(offset.max()))
    )


def test_another_start_has_the_same_end():
    tokens, labels = data()
    start = torch.randn(4, 6), torch.zeros(4)
    found = logistic_regression(tokens, labels, 4, 1.0, start=start, tolerance=1e-5)
    want = logistic_regression(tokens, labels, 4, 1.0, tolerance=1e-5)
    torch.testing.assert_close(found[0], want[0], rtol=0, atol=5e-3)


def test_chunks_of_any_size_give_the_same(monkeypatch):
    tokens, labels = data()
    want = logistic_regression(tokens, labels, 4, 0.1, tolerance=1e-5)
    monkeypatch.setattr(softmax_regression, 'CHUNK', 64)
    found = logistic_regression(tokens, labels, 4, 0.1, tolerance=1e-5)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-3)


def test_joint_heads_are_those_of_torchs_sgd_written_out():
    tokens, labels = data()
    heads = train_jointly(tokens, labels, 4, RATES, num_epochs=3, batch_size=100, seed=5)
    places = torch.nonzero(labels != LEFT_OUT)[:, 0]
    for index, rate in enumerate(RATES):
        layer = torch.nn.Linear(6, 4)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
        steps = 3 * (len(places) // 100)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        generator = torch.Generator().manual_seed(5)
        for _ in range(3):
            order = places[torch.randperm(len(places), generator=generator)]
            for batch in order.split(100)[: len(places) // 100]:
                optimizer.zero_grad()
                F.cross_entropy(layer(tokens[batch].float()), labels[batch]).backward()
                optimizer.step()
                cosine.step()
        torch.testing.assert_close(heads.weight[index], layer.weight.detach(), rtol=0, atol=1e-4)
        torch.testing.assert_close(heads.bias[index], layer.bias.detach(), rtol=0, atol=1e-4)


def test_fewer_tokens_than_a_batch_are_one_batch():
    tokens, labels = data(50)
    heads = train_jointly(tokens, labels, 4, [0.1], num_epochs=2, batch_size=1000)
    assert bool(heads.weight.abs().sum() > 0)


def test_nothing_to_learn_from_is_refused():
    tokens, labels = data(20)
    for fit in (logistic_regression, train_jointly):
        with pytest.raises(ValueError, match='no token with a label'):
            fit(tokens, torch.full_like(labels, LEFT_OUT), 4, [1.0])


def both(*_):
    """What is fitted of all tokens, in chunks; on a rank, or alone."""
    softmax_regression.CHUNK = 100
    tokens, labels = data()
    heads = train_jointly(tokens, labels, 4, RATES, num_epochs=2, batch_size=101)
    return *logistic_regression(tokens, labels, 4, 0.1, tolerance=1e-5), heads.weight, heads.bias


def test_two_ranks_find_what_one_finds(tmp_path, monkeypatch):
    first, second = on_two_ranks(both, tmp_path)
    monkeypatch.setattr(softmax_regression, 'CHUNK', 100)
    for one, other, alone in zip(first, second, both(), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, alone, rtol=0, atol=1e-4)
