"""Outliers by sums over rows are those of the plain definition, which sorts all rows."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skae._objective.outliers import histogram, outliers
from skae._rows import blocks
from skae._rows.blocks import rows_of
from skae._rows.threads import SERIAL
from skae._weights import Weights

LARGEST, SMALLEST = np.finfo(float).max, np.nextafter(0, 1)


def by_sorting(gains, weights):
    """Rows of more than ten times the weighted median, if they are few and have most of the gain."""
    order = np.argsort(gains, kind="stable")
    cumulated = np.cumsum(weights[order])
    median = gains[order[np.searchsorted(cumulated, cumulated[-1] / 2)]]
    with np.errstate(over="ignore", invalid="ignore"):
        far = gains > 10 * median
        have_most = weights[far] @ gains[far] > 0.5 * (weights @ gains)
    are_few = weights[far].sum() <= 0.02 * weights.sum()
    return np.flatnonzero(far) if are_few and have_most else []


def by_sums(gains, weights):
    """The same, and how many passes it takes after the first one."""
    rows, passes = rows_of(gains[:, None]), []

    def gains_of(block):
        passes.append(block.start)
        return gains[block]

    sums = rows.sum(lambda block: histogram(gains[block], weights[block]), SERIAL)
    return outliers(sums, gains_of, rows, Weights(weights), SERIAL), passes.count(0)


def assert_as_by_sorting(gains, weights):
    gains = np.asarray(gains, dtype=float)
    weights = np.ones(len(gains)) if weights is None else np.asarray(weights, dtype=float)
    assert_array_equal(by_sums(gains, weights)[0], by_sorting(gains, weights))


def test_few_rows_with_most_of_the_gain():
    gains = np.r_[np.ones(98), 60, 60]
    weights = np.ones(100)
    assert list(by_sums(gains, weights)[0]) == [98, 99]
    assert list(by_sums(np.r_[np.ones(98), 20, 20], weights)[0]) == []  # less than half of the gain
    assert list(by_sums(np.r_[np.ones(90), np.full(10, 60)], weights)[0]) == []  # one row in ten is no outlier
    assert list(by_sums(gains, np.r_[np.ones(98), 30, 30])[0]) == []  # nor are rows of much weight


# Integer weights and few different gains: both sums are exact, and many are equal.
levels = [
    0.0,
    -1e-300,
    SMALLEST,
    1e-310,
    1.0,
    np.nextafter(1, 2),
    9.5,
    10.0,
    np.nextafter(10, 11),
    11.0,
    4000.0,
    2.0**60,
]
bulks = st.lists(st.sampled_from(levels), min_size=1, max_size=60)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(bulks, st.lists(st.sampled_from(levels), max_size=3), st.integers(1, 60), st.data())
@example([1.0], [], 1, None)
def test_ties_and_rows_at_the_thresholds(bulk, few, times, data):
    gains = np.array(bulk * times + few)
    weights = None
    if data is not None and data.draw(st.booleans()):
        weights = data.draw(st.lists(st.integers(1, 4), min_size=len(gains), max_size=len(gains)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BLOCK_ENTRIES", 20)
        assert_as_by_sorting(gains, weights)


def bulks_of(rng):
    """Gains, in order, that differ in their leading bits, or in their last ones alone."""
    yield np.sort(rng.uniform(1, 3, 2001))
    yield np.r_[np.full(901, 0.5), 1 + 2.0**-50 * np.sort(rng.integers(0, 2**10, 1100))]


@pytest.mark.parametrize("seed", range(10))
def test_rows_next_to_the_threshold(seed):
    """To find the threshold takes all bits of the median."""
    rng = np.random.default_rng(seed)
    for bulk in bulks_of(rng):
        bulk *= 2.0 ** rng.integers(-600, 600)
        weights = rng.integers(1, 5, len(bulk) + 7) if seed % 2 else np.ones(len(bulk) + 7)
        limit = 10 * bulk[np.searchsorted(np.cumsum(weights), weights.sum() / 2)]
        few = [limit, np.nextafter(limit, np.inf), np.nextafter(limit, 0), limit * (1 + 1e-9), limit * (1 - 1e-9)]
        gains, order = np.r_[bulk, few, [1e7 * limit] * 2], rng.permutation(len(bulk) + 7)
        found, n_passes = by_sums(gains[order], weights[order])
        assert sorted(order[found]) == [len(bulk) + number for number in (1, 3, 5, 6)]
        assert n_passes >= 4


def test_rows_at_the_ends_of_what_a_pass_tells_apart():
    """The median of these gains is between 1 and 5/4, so that of an outlier is beyond 10 to 25/2."""
    bulk = np.linspace(1.05, 1.2, 1000)
    highest = 10 * np.nextafter(1.25, 0)
    assert_array_equal(by_sums(np.r_[bulk, highest, 1e7], np.ones(1002))[0], [1000, 1001])
    # Many rows are just not far.
    many = np.r_[bulk, np.full(200, 12.0), [1e7] * 5]
    many[500:1000] = 1.24
    assert_array_equal(by_sums(many, np.ones(1205))[0], np.arange(1200, 1205))


@pytest.mark.parametrize("seed", range(40))
def test_heavy_tails(seed):
    rng = np.random.default_rng(seed)
    gains = np.exp(rng.uniform(0.5, 4) * rng.standard_normal(3000)) * 10.0 ** rng.integers(-300, 280)
    gains[rng.random(3000) < rng.choice([0, 0.3, 0.6])] = 0
    assert_as_by_sorting(gains, None if seed % 2 else rng.integers(1, 5, 3000))


@pytest.mark.parametrize("odd", [np.inf, np.nan, LARGEST, -LARGEST])
def test_gains_out_of_range(odd):
    assert_as_by_sorting([*np.ones(200), odd], None)
    assert_as_by_sorting(np.full(5, odd), None)


def test_one_pass_is_enough_unless_rows_are_near_the_thresholds():
    rng = np.random.default_rng(0)
    gains = rng.chisquare(5, 100_000)
    assert by_sums(gains, np.ones(len(gains)))[1] == 0
    gains[:100] *= 1e4
    found, n_passes = by_sums(gains, np.ones(len(gains)))
    assert n_passes <= 2
    assert len(found) >= 90
