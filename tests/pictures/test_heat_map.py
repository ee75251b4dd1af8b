"""Numbers as heat."""

import numpy as np

from mmcroc.pictures.heat_map import heat_map


def test_zero_is_black_the_greatest_white_and_between_them_more_is_brighter():
    values = np.array([[0.0, 0.1, 0.2, 0.4]])
    picture = np.asarray(heat_map(values, (8, 2))).astype(int)
    assert picture.shape == (2, 8, 3)
    row = picture[0, ::2]
    assert row[0].tolist() == [0, 0, 0] and row[-1].tolist() == [255, 255, 255]
    assert (np.diff(row.sum(1)) > 0).all()
    np.testing.assert_array_equal(picture[:, 0::2], picture[:, 1::2])  # coarse stays coarse


def test_scale_does_not_matter_and_nothing_at_all_is_black():
    values = np.random.default_rng(0).random((3, 4))
    pictures = [np.asarray(heat_map(values * factor, (4, 3))) for factor in (1, 1e-3)]
    np.testing.assert_array_equal(*pictures)
    assert not np.asarray(heat_map(np.zeros((2, 2)), (2, 2))).any()
