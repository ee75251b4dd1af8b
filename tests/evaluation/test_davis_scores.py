"""J, F and their statistics: the reference's numbers, and what loops find."""

from math import ceil, hypot

import numpy as np
import pytest

from mmcroc.evaluation.davis_scores import contours, score_frame, statistics, tolerance

CASES = (
    'three', 'vanish', 'missing_last', 'missing_middle', 'nothing', 'one_pixel', 'void',
    'late_object', 'gap', 'never_there', 'one_scored', 'two_scored', 'portrait', 'touching_edges',
    'wide_radius', 'thin',
)  # fmt: skip


@pytest.fixture(scope='module')
def reference(request):
    with np.load(request.getfixturevalue('fixtures_dir') / 'davis_scores.npz') as file:
        return dict(file)


def scores_of(truth, predicted):
    """J and F (2, n, T - 2) of id maps (T, H, W)."""
    first = truth[0][truth[0] != 255]
    pairs = zip(truth[1:-1], predicted[1:-1], strict=True)
    return np.stack([score_frame(*pair, int(first.max())) for pair in pairs], -1)


@pytest.mark.parity
@pytest.mark.parametrize('case', CASES)
def test_scores_are_those_of_davis2017_evaluation(reference, case):
    found = scores_of(reference[f'{case}_gt'], reference[f'{case}_pred'])
    for values, name in zip(found, 'jf', strict=True):
        np.testing.assert_allclose(values, reference[f'{case}_{name}'], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            statistics(values), reference[f'{case}_{name}_stats'], rtol=0, atol=1e-9
        )


@pytest.mark.parity
@pytest.mark.parametrize('case', ['boundary', 'boundary_noise'])
def test_contours_are_those_of_davis2017_evaluation(reference, case):
    np.testing.assert_array_equal(contours(reference[f'{case}_mask']), reference[f'{case}_map'])


@pytest.mark.parity
def test_statistics_are_those_of_davis2017_evaluation(reference):
    for length in reference['stats_lengths']:
        wanted = reference[f'stats_{length}_out']
        if length >= 256:  # the reference's edges wrap in 8 bits: no decay
            assert np.isnan(wanted[2])
        known = np.isfinite(wanted)
        found = statistics(reference[f'stats_{length}_in'])
        np.testing.assert_allclose(found[known], wanted[known], rtol=0, atol=1e-9)


@pytest.mark.parity
def test_tolerances_are_those_of_davis2017_evaluation(reference):
    found = [tolerance(*size) for size in reference['tolerance_sizes']]
    assert found == reference['tolerance_pixels'].tolist()


def looped_contour(mask):
    """Pixels that differ from the right, lower or lower right neighbour, one by one."""
    height, width = mask.shape
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            y + dy < height and x + dx < width and mask[y, x] != mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
        )
    ]


def looped_scores(truth, predicted, reach):
    """J and F of two masks, pixel by pixel."""
    pairs = list(zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    union = sum(a or b for a, b in pairs)
    region = sum(a and b for a, b in pairs) / union if union else 1.0
    ours, theirs = looped_contour(predicted), looped_contour(truth)

    def met(one, others):
        near = [any((y - v) ** 2 + (x - u) ** 2 <= reach**2 for v, u in others) for y, x in one]
        return sum(near) / len(near) if near else 1.0

    precision, recall = met(ours, theirs), met(theirs, ours)
    total = precision + recall
    return region, 2 * precision * recall / total if total else 0.0


@pytest.mark.parametrize('size', [(9, 14), (14, 9), (120, 90)])
def test_scores_are_those_of_a_loop_over_pixels(size):
    rng = np.random.default_rng(0)
    reach = ceil(0.008 * hypot(*size))
    for _ in range(2):
        coarse = rng.integers(0, 4, (2, 4, 4))
        rows, columns = (np.arange(side) * 4 // side for side in size)
        truth, predicted = coarse[:, rows[:, None], columns].astype(np.uint8)
        predicted[rng.random(size) < 0.02] = 1
        found = score_frame(truth, predicted, 5)  # 4 and 5 are nowhere
        wanted = [looped_scores(truth == k, predicted == k, reach) for k in range(1, 6)]
        np.testing.assert_allclose(found.T, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize('number', [1, 2, 3, 8, 255, 256, 257, 1000])
def test_decay_compares_the_outer_quarters_of_any_number_of_frames(number):
    values = np.random.default_rng(number).random(number)
    edges = [int(1 + (number - 1) * k / 4 + 0.5) - 1 for k in range(5)]
    first = [values[i] for i in range(edges[0], edges[1] + 1)]
    last = [values[i] for i in range(edges[3], edges[4] + 1)]
    wanted = sum(first) / len(first) - sum(last) / len(last)
    np.testing.assert_allclose(statistics(values)[2], wanted, atol=1e-12)


def test_a_value_of_a_half_does_not_count_as_found():
    assert statistics(np.array([0.5, 0.5, 0.6, 0.4]))[1] == 0.25
