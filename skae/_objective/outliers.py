"""Outliers among rows: few rows that have most of the gain. They are found by sums over rows alone.

The first pass adds weights and gains up by the leading bits of the gain. So the weighted median gain is known up to
some bits, and with it what the gain of an outlier exceeds. That shows nearly always whether there are any. Each further
pass adds some bits.
"""

from typing import NamedTuple

import numpy as np

# Rows are outliers if each has this many times the median row's gain, if they are at most this share of all, and if
# together they have more than half of the total gain.
_OUTLYING, _MOST_OUTLIERS, _MOST_GAIN = 10.0, 0.02, 0.5

# Bits of a gain that a pass looks at. The first ones are the sign, the exponent, and two of the fraction.
_BITS, _ALL_BITS, _SIGN = 14, 64, np.uint64(2**63)


def histogram(gains, weights):
    """Return the weights and the gains of some rows, added up by the leading bits of the gain, flat: for `outliers`."""
    bins = (_ordered(gains) >> np.uint64(_ALL_BITS - _BITS)).astype(np.intp)
    return np.concatenate([np.bincount(bins, values, minlength=2**_BITS) for values in (weights, weights * gains)])


def outliers(sums, gains, rows, weights, threads):
    """Return the increasing indices of the outliers.

    Parameters
    ----------
    sums : ndarray
        The `histogram` of all rows.

    gains : callable(slice) -> ndarray of float64
        Gains of rows.

    rows : Rows of shape (n_samples, n_features)

    weights : Weights of shape (n_samples,)
        Positive.

    threads : RowThreads
    """
    of_bins = sums.reshape(2, -1)
    total, total_gain = of_bins.sum(axis=1)
    median = _Stretch().narrowed(of_bins[0], total / 2)
    low, high = median.thresholds
    between, beyond = _sums_of_bins(of_bins, low, high)
    while between[0]:
        # Wherever the threshold is in between.
        if beyond[0] > _MOST_OUTLIERS * total or not between[1] + beyond[1] > _MOST_GAIN * total_gain:
            return np.empty(0, dtype=int)

        def part(block, low=low, high=high, median=median):
            of_block = gains(block)
            return np.concatenate([_sums(of_block, weights[block], low, high), median.split(of_block, weights[block])])

        sums = rows.sum(part, threads)
        between, beyond = sums[:4].reshape(2, 2)
        if between[0]:
            median = median.narrowed(sums[4:], total / 2)
            low, high = median.thresholds
    if beyond[0] <= _MOST_OUTLIERS * total and beyond[1] > _MOST_GAIN * total_gain:
        return rows.where(lambda block: gains(block) > high, threads)
    return np.empty(0, dtype=int)


class _Stretch(NamedTuple):
    """The gains that have the same leading bits as the median.

    Attributes
    ----------
    leading : int
        These bits.

    n_bits : int
        How many they are.

    below : float
        The weight of all smaller gains.
    """

    leading: int = 0
    n_bits: int = 0
    below: float = 0.0

    @property
    def n_next(self):
        """How many bits a pass adds."""
        return min(_BITS, _ALL_BITS - self.n_bits)

    @property
    def thresholds(self):
        """The gains that an outlier exceeds if the median is the first one, or the last one, of the stretch."""
        n_open = _ALL_BITS - self.n_bits
        ends = np.array([self.leading << n_open, ((self.leading + 1) << n_open) - 1], dtype=np.uint64)
        with np.errstate(over="ignore", invalid="ignore"):
            return (_OUTLYING * _from_ordered(ends)).tolist()

    def split(self, gains, weights):
        """Return the weights in the stretch, added up by the next bits of the gain."""
        bits = _ordered(gains)
        is_within = bits >> np.uint64(_ALL_BITS - self.n_bits) == self.leading
        following = bits[is_within] >> np.uint64(_ALL_BITS - self.n_bits - self.n_next)
        following &= np.uint64(2**self.n_next - 1)
        return np.bincount(following.astype(np.intp), weights[is_within], minlength=2**self.n_next)

    def narrowed(self, weights, half):
        """Return the stretch with the next bits of the median, given the weights by these and half of the total."""
        cumulated = self.below + np.cumsum(weights)
        # Sums in another order may be a rounding less than half of the total.
        number = min(int(np.searchsorted(cumulated, half)), int(np.flatnonzero(weights)[-1]))
        below = self.below if number == 0 else float(cumulated[number - 1])
        return _Stretch((self.leading << self.n_next) + number, self.n_bits + self.n_next, below)


def _sums_of_bins(of_bins, low, high):
    """Return weight and positive gain of the bins that `low` and `high` are in or between, and of those beyond."""
    first, last = (_ordered(np.array([low, high])) >> np.uint64(_ALL_BITS - _BITS)).tolist()
    positive = np.maximum(of_bins, 0)
    return positive[:, first : last + 1].sum(axis=1), positive[:, last + 1 :].sum(axis=1)


def _sums(gains, weights, low, high):
    """Return weight and positive gain of the rows above `low` but not above `high`, and of those above `high`."""
    masks = np.array([(gains > low) & (gains <= high), gains > high])
    return (masks @ np.stack([weights, weights * np.maximum(gains, 0)], axis=1)).ravel()


def _ordered(gains):
    """Return the bits of floats as integers that are in the same order."""
    bits = gains.view(np.uint64)
    return np.where(gains < 0, ~bits, bits | _SIGN)


def _from_ordered(bits):
    """Return the floats, given what `_ordered` returns."""
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
