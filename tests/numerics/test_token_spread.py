"""Effective rank and mean cosine of matrices whose figures are known."""

import math

import pytest
import torch

from mmcroc.numerics.token_spread import effective_rank, mean_cosine


def opposite_axes(channels):
    """Both ends of every axis: the same spread in every direction, mean 0."""
    return torch.cat([torch.eye(channels), -torch.eye(channels)])


def test_tokens_on_a_line_have_rank_1_and_equal_ones_too():
    line = torch.tensor([[1.0], [-2.0], [0.5], [-3.0]]) * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line).item() == pytest.approx(1)
    same = torch.randn(5, generator=torch.Generator().manual_seed(0)).expand(40, 5)
    assert effective_rank(same).item() == 1 and mean_cosine(same).item() == pytest.approx(1)


def test_isotropic_tokens_have_full_rank():
    tokens = opposite_axes(6)
    assert effective_rank(tokens).item() == pytest.approx(6)
    # Of 11 others, one is opposite and ten are orthogonal.
    assert mean_cosine(tokens).item() == pytest.approx(-1 / 11)


def test_what_all_tokens_share_counts_in_the_cosine_and_not_in_the_rank():
    """A common direction with isotropic differences: rank of the differences."""
    tokens = torch.cat([opposite_axes(6), torch.full((12, 1), 3.0)], dim=1)
    assert effective_rank(tokens).item() == pytest.approx(6)
    assert mean_cosine(tokens).item() == pytest.approx((9 - 1 / 11) / 10)


def test_duplicates_and_scale_change_no_rank():
    tokens = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    want = effective_rank(tokens)
    assert 1 < want < 8
    torch.testing.assert_close(effective_rank(torch.cat([tokens, tokens])), want)
    torch.testing.assert_close(effective_rank(7 * tokens), want, rtol=1e-6, atol=0)


def test_the_rank_is_that_of_the_singular_values_and_the_cosine_that_of_all_pairs():
    tokens = torch.randn(30, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    shares = torch.linalg.svdvals(unit - unit.mean(0))
    shares = (shares / shares.sum()).tolist()
    want = math.exp(-sum(p * math.log(p) for p in shares))
    assert effective_rank(tokens).item() == pytest.approx(want, rel=1e-9)
    pairs = (unit @ unit.T)[~torch.eye(30, dtype=torch.bool)]
    assert mean_cosine(tokens).item() == pytest.approx(pairs.mean().item(), rel=1e-9)
