"""Typical errors, scores and offsets against values worked out by hand."""

import numpy as np
import pytest

from skae._detection.calibration import offset, scaled, scores, typical_errors


def blocks(errors):
    """The errors in two blocks of rows."""
    errors = np.asarray(errors, dtype=float)
    half = len(errors) // 2
    return [(slice(0, half), errors[:half]), (slice(half, None), errors[half:])]


def test_typical_errors_are_weighted_means():
    errors = [[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]]
    np.testing.assert_allclose(typical_errors(blocks(errors), np.array([2.0, 1.0, 1.0])), [2.5, 17.5])


def test_a_column_without_errors_has_a_tenth_of_the_mean():
    np.testing.assert_allclose(typical_errors(blocks([[4.0, 0.0], [4.0, 0.0]]), np.ones(2)), [4.0, 0.2])


def test_without_any_errors_they_are_one():
    np.testing.assert_array_equal(typical_errors(blocks(np.zeros((2, 3))), np.ones(2)), np.ones(3))


def test_errors_that_overflow_are_refused():
    with pytest.raises(ValueError, match="scale X"):
        typical_errors(blocks([[np.inf], [1.0]]), np.ones(2))


def test_large_errors_count_by_their_root():
    """Nine typical errors are nine; 324 are 2 * sqrt(9 * 324) - 9 = 99; the slope has no jump."""
    ratios = np.concatenate(list(scaled(blocks([[9.0], [324.0], [9.0001]]), np.ones(1))))
    np.testing.assert_allclose(ratios, [[9.0], [99.0], [9.0001]], rtol=1e-9)


def test_scores_are_means_of_the_columns_in_their_units():
    np.testing.assert_allclose(scores(blocks([[2.0, 1.0], [4.0, 8.0]]), np.array([2.0, 4.0])), [-0.625, -2.0])


@pytest.mark.parametrize(("contamination", "n_odd"), [(0.1, 10), (0.109, 10), (0.5, 50), (1e-9, 0)])
def test_the_share_is_below_the_offset(contamination, n_odd):
    values = -np.random.default_rng(0).permutation(100.0 + np.arange(100))
    assert np.sum(values < offset(values, np.ones(100), contamination)) == n_odd


@pytest.mark.parametrize("contamination", ["auto", 0.3])
def test_weights_repeat_rows(contamination):
    rng = np.random.default_rng(0)
    values, weights = -rng.chisquare(3, size=50), rng.integers(1, 4, size=50)
    repeated = np.repeat(values, weights)
    assert offset(values, weights.astype(float), contamination) == offset(
        repeated, np.ones(len(repeated)), contamination
    )


def test_auto_is_tukey_s_fence_of_the_log_errors():
    """Errors 1 to 16: the quartiles of weight are 4 and 12, so that the fence is at 12 * 3^1.5 = 62.4."""
    values = -np.append(np.arange(1.0, 16.0), 100.0)
    assert offset(values, np.ones(16), "auto") == pytest.approx(-12 * 3**1.5)


def test_a_fence_beyond_float64():
    """The quartiles are the smallest float and 1: nothing is odd, and nothing overflows with a warning."""
    assert offset(np.array([0.0, -1.0]), np.ones(2), "auto") == -1.0


def test_auto_takes_one_of_a_hundred_where_nothing_is_beyond_the_fence():
    values = -np.linspace(1.0, 2.0, 300)
    assert np.sum(values < offset(values, np.ones(300), "auto")) == 3


@pytest.mark.parametrize("contamination", ["auto", 0.5])
def test_equal_scores_are_all_ordinary(contamination):
    values = np.full(5, -2.0)
    assert not np.any(values < offset(values, np.ones(5), contamination))


def test_equal_scores_are_below_together_or_not_at_all():
    values = -np.repeat([9.0, 2.0, 1.0], [2, 5, 3])
    assert [np.sum(values < offset(values, np.ones(10), share)) for share in (0.1, 0.2, 0.4)] == [0, 2, 2]


@pytest.mark.parametrize("contamination", ["auto", 0.5])
def test_scores_of_zero(contamination):
    assert np.isfinite(offset(np.zeros(5), np.ones(5), contamination))
