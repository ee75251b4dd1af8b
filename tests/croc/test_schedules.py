"""The closed-form schedule."""

import numpy as np
import pytest

from mmcroc.croc.schedules import warmup_cosine


def test_warmup_and_cosine_agree_with_arrays():
    base, end, steps, warmup = 0.3, 0.01, 20, 5
    ramp = np.linspace(0, base, warmup)
    i = np.arange(steps - warmup)
    cosine = end + 0.5 * (base - end) * (1 + np.cos(np.pi * i / len(i)))
    got = [warmup_cosine(step, base, end, steps, warmup) for step in range(steps)]
    np.testing.assert_allclose(got, np.r_[ramp, cosine], rtol=1e-12)


def test_the_first_step_of_a_warmup_is_zero_and_the_end_is_never_reached():
    assert warmup_cosine(0, 1.0, 0.0, 10, 1) == 0
    assert warmup_cosine(0, 1.0, 0.0, 10, 0) == 1
    assert warmup_cosine(9, 1.0, 0.5, 10, 0) > 0.5
    assert warmup_cosine(99, 1.0, 0.5, 10, 0) == pytest.approx(0.5)
