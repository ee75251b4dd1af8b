import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.preprocessing import StandardScaler

from mmcroc.numerics.pca import RunningMoments, fit_pca


@pytest.fixture(scope='module')
def features():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(24, 24, generator=generator, dtype=torch.float64)
    return torch.randn(3000, 24, generator=generator, dtype=torch.float64) @ mixing + 3


def moments_of(features, batch=700):
    moments = RunningMoments(features.shape[-1])
    for chunk in features.split(batch):
        moments.update(chunk, chunk_size=256)
    return moments


def test_standardised_projection_is_scikit_learns_signs_included(features):
    ours = fit_pca(moments_of(features), 10)
    scaled = StandardScaler().fit_transform(features.numpy())
    theirs = SklearnPCA(10, svd_solver='full').fit(scaled)
    np.testing.assert_allclose(ours.components, theirs.components_, atol=1e-9)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(
        ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-9
    )
    np.testing.assert_allclose(ours.transform(features), theirs.transform(scaled), atol=1e-9)


def test_projection_without_scaling_is_scikit_learns(features):
    ours = fit_pca(moments_of(features), 10, standardize=False)
    theirs = SklearnPCA(10, svd_solver='full').fit(features.numpy())
    np.testing.assert_allclose(
        ours.transform(features), theirs.transform(features.numpy()), atol=1e-8
    )


def test_batches_shapes_and_precisions_do_not_matter(features):
    whole = fit_pca(moments_of(features, 3000), 8)
    batched = fit_pca(moments_of(features.view(30, 10, 10, 24), 7), 8)
    torch.testing.assert_close(whole.components, batched.components)
    projected = whole.transform(features.view(30, 10, 10, 24).float())
    assert projected.shape == (30, 10, 10, 8)
    assert projected.dtype == torch.float32
    expected = whole.transform(features, chunk_size=77)
    torch.testing.assert_close(projected.double().view(3000, 8), expected, rtol=1e-4, atol=1e-4)


def test_moments_survive_a_far_mean(features):
    moments = moments_of(features + 1e4)
    torch.testing.assert_close(moments.std, features.std(0, correction=0), rtol=1e-6, atol=0)


def test_constant_feature_is_not_blown_up(features):
    features = features.clone()
    features[:, 3] = 0.1
    pca = fit_pca(moments_of(features), 20)
    assert pca.scale[3] == 1
    assert pca.transform(features).abs().max() < 100


@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf])
def test_non_finite_features_are_refused(features, value):
    features = features.clone()
    features[5, 7] = value
    features[9, 1] = value
    with pytest.raises(ValueError, match=r'2 of 256 features .* hold NaN or infinity'):
        moments_of(features)


def test_errors_print_the_numbers(features):
    moments = moments_of(features[:20])
    with pytest.raises(ValueError, match='between 1 and 19: there are 20 features of 24'):
        fit_pca(moments, 20)
    with pytest.raises(ValueError, match=r'must be \(..., 24\), got \(3000, 12\)'):
        moments.update(features[:, :12])
