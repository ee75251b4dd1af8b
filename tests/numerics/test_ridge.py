import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.linear_model import RidgeClassifier as SklearnRidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from mmcroc.numerics.ridge import RidgeAccumulator


@pytest.fixture(scope='module')
def tokens():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (2000,), generator=generator)
    centres = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    noise = torch.randn(2000, 16, generator=generator, dtype=torch.float64)
    return (centres[labels] + noise) * torch.linspace(0.1, 10, 16) + 2, labels


def accumulate(features, labels, num_classes=5, batch=300):
    ridge = RidgeAccumulator(features.shape[-1], num_classes)
    for chunk, label in zip(features.split(batch), labels.split(batch), strict=True):
        ridge.update(chunk, label, chunk_size=128)
    return ridge


def scores(classifier, features):
    return F.linear(features, classifier.weight, classifier.bias)


@pytest.mark.parametrize('alpha', [1e-3, 1.0, 1e3])
def test_weights_are_scikit_learns(tokens, alpha):
    features, labels = tokens
    ours = accumulate(features, labels).fit(alpha)
    theirs = Ridge(alpha).fit(features.numpy(), F.one_hot(labels).double().numpy())
    np.testing.assert_allclose(ours.weight, theirs.coef_, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, rtol=1e-7, atol=1e-10)
    classifier = SklearnRidgeClassifier(alpha).fit(features.numpy(), labels.numpy())
    np.testing.assert_array_equal(
        scores(ours, features).argmax(1), classifier.predict(features.numpy())
    )


def test_standardised_fit_is_scikit_learns_on_scaled_features(tokens):
    features, labels = tokens
    scaled = StandardScaler().fit_transform(features.numpy())
    ours = accumulate(features, labels).fit(100.0, standardize=True)
    theirs = Ridge(100.0).fit(scaled, F.one_hot(labels).double().numpy())
    np.testing.assert_allclose(scores(ours, features), theirs.predict(scaled), atol=1e-9)
    unscaled = accumulate(features, labels).fit(100.0)
    assert not np.allclose(scores(unscaled, features), theirs.predict(scaled), atol=1e-3)


def test_without_penalty_it_is_least_squares(tokens):
    features, labels = tokens
    with_one = torch.cat([features, torch.ones(2000, 1)], 1)
    solution = torch.linalg.lstsq(with_one, F.one_hot(labels).double()).solution
    ours = accumulate(features, labels).fit(0.0)
    torch.testing.assert_close(torch.cat([ours.weight.T, ours.bias[None]]), solution)


def test_ignored_tokens_do_not_count(tokens):
    features, labels = tokens
    some = labels.clone()
    some[::3] = 255
    kept = some != 255
    ours = accumulate(features, some).fit()
    torch.testing.assert_close(ours.weight, accumulate(features[kept], labels[kept]).fit().weight)
    assert not torch.allclose(ours.weight, accumulate(features, labels).fit().weight)


def test_maps_and_batches_are_as_good_as_lists(tokens):
    features, labels = tokens
    maps = accumulate(features.view(20, 10, 10, 16), labels.view(20, 10, 10), batch=7).fit()
    torch.testing.assert_close(maps.weight, accumulate(features, labels).fit().weight)


def test_errors_say_what_was_wrong(tokens):
    features, labels = tokens
    with pytest.raises(ValueError, match=r'must be \(2000,\) for features of \(2000, 16\)'):
        accumulate(features, labels).update(features, labels[:5])
    with pytest.raises(ValueError, match=r'must lie in \[0, 3\) or be 255, got 0 to 4'):
        accumulate(features, labels, num_classes=3)
    with pytest.raises(ValueError, match='no token with a label'):
        accumulate(features, torch.full_like(labels, 255)).fit()
    with pytest.raises(ValueError, match='singular'):
        accumulate(features[:, :1].expand(-1, 2), labels).fit(0.0)
    with pytest.raises(ValueError, match='NaN'):
        accumulate(features / 0, labels)
