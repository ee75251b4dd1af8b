"""Tokens as colours."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from mmcroc.pictures.painters import TokenColours


def token_maps(number=4, channels=12, seed=0):
    """Maps of several sizes whose channels vary unequally, about a mean."""
    g = torch.Generator().manual_seed(seed)
    scale = torch.linspace(3, 0.3, channels)[:, None, None]
    return [5 + scale * torch.randn(channels, 5 + i, 7 - i, generator=g) for i in range(number)]


def colours_of(maps):
    colours = TokenColours()
    for tokens in maps:
        colours.update(tokens)
    colours.fit()
    return colours


def test_colours_are_the_first_components_between_percentiles():
    """scikit-learn's, signs aside: a channel may run the other way."""
    maps = token_maps()
    colours = colours_of(maps)
    flat = np.concatenate([tokens.flatten(1).T.numpy() for tokens in maps])
    projected = PCA(3).fit_transform(flat.astype(float))
    low, high = np.quantile(projected, [0.01, 0.99], axis=0)
    want = 255 * np.clip((projected - low) / (high - low), 0, 1)
    ours = np.concatenate([colours.paint(tokens).reshape(-1, 3) for tokens in maps]).astype(float)
    for channel in range(3):
        same = np.abs(ours[:, channel] - want[:, channel]).max()
        mirrored = np.abs(255 - ours[:, channel] - want[:, channel]).max()
        assert min(same, mirrored) <= 1
    assert colours.paint(maps[0]).shape == (5, 7, 3)


def test_the_order_of_the_images_does_not_matter():
    maps = token_maps()
    one, other = colours_of(maps), colours_of(maps[::-1])
    for tokens in maps:
        difference = one.paint(tokens).astype(int) - other.paint(tokens)
        assert np.abs(difference).max() <= 1


def test_a_token_has_the_same_colour_in_every_image():
    first, second, *_ = maps = token_maps()
    second[:, 2, 3] = first[:, 1, 1]
    colours = colours_of(maps)
    assert (colours.paint(first)[1, 1] == colours.paint(second)[2, 3]).all()


def test_the_mean_is_removed_and_one_odd_token_does_not_flatten_the_rest():
    maps = token_maps(number=1)
    plain = colours_of(maps).paint(maps[0])
    moved = [maps[0] + 1000]
    assert np.abs(colours_of(moved).paint(moved[0]).astype(int) - plain).max() <= 2
    many = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0))
    many[:, 0, 0] = 50.0
    painted = colours_of([many]).paint(many)
    assert painted.reshape(-1, 3)[1:].std(0).min() > 30  # of 1,600 tokens, one is clipped


def test_memory_is_bounded_and_the_ranges_stay_about_the_same(monkeypatch):
    maps = token_maps(number=3)
    maps = [tokens.repeat(1, 30, 1) for tokens in maps]
    want = colours_of(maps)
    monkeypatch.setattr(TokenColours, 'MAX_SAMPLE', 400)
    got = colours_of(maps)
    assert got.sampled <= 400 and got.step > 1
    assert torch.equal(got.pca.components, want.pca.components)  # these are exact
    spread = want.high - want.low
    assert (np.abs(got.low - want.low) < 0.2 * spread).all()
    assert (np.abs(got.high - want.high) < 0.2 * spread).all()


def test_too_few_tokens_and_none_at_all_are_refused():
    with pytest.raises(ValueError, match='there are 3 features of 12 dimensions'):
        colours_of([torch.randn(12, 1, 3)])
    with pytest.raises(ValueError, match=r'call update\(\) first'):
        TokenColours().fit()


def test_tokens_that_are_all_alike_have_one_colour():
    tokens = torch.ones(4, 3, 3)
    assert len(np.unique(colours_of([tokens]).paint(tokens).reshape(-1, 3), axis=0)) == 1
