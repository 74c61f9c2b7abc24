"""Weighted statistics of rows, summed in float64 over blocks that threads share."""

from dataclasses import dataclass

import numpy as np

# Where the mean of the rows is longer than twice their spread, intercepts would cost digits: then the rows themselves
# are centred, block by block, which takes a pass over X.
_NEAR = 4.0


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and scale of rows.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Weighted means, in float64.

    scale : float
        Root mean square of the deviations from the mean. 0.0 if all columns are constant.
    """

    mean: np.ndarray
    scale: float

    @property
    def offset(self):
        """The vector to subtract from rows before a product, (n_features,): the mean, or zeros if that is small."""
        with np.errstate(over="ignore"):
            is_small = self.mean @ self.mean <= _NEAR * len(self.mean) * self.scale**2
        return np.zeros_like(self.mean) if is_small else self.mean


def statistics_of(row_sets, weights, threads):
    """Return the Statistics of all sets of rows together, a list of Rows of the same shape.

    Raises ValueError if products on the scale of X leave the range of its dtype.
    """
    mean = column_means(row_sets, weights, threads)
    return Statistics(mean, scale_about(row_sets, weights, mean, threads))


def column_means(row_sets, weights, threads):
    """Return the weighted means, (n_features,), of all sets of rows together."""
    total = sum(
        rows.sum(lambda block, rows=rows: rows.weighted_sum(block, weights[block]), threads) for rows in row_sets
    )
    return total / (weights.sum() * len(row_sets))


def variances(row_sets, weights, mean, threads):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""
    squares = sum(
        rows.sum(lambda block, rows=rows: rows.weighted_squares(block, weights[block], mean), threads)
        for rows in row_sets
    )
    return squares / (weights.sum() * len(row_sets))


def scale_about(row_sets, weights, mean, threads):
    """Return the root mean square of the deviations from the mean; columns that are constant to rounding have none.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    squares = variances(row_sets, weights, mean, threads)
    with np.errstate(over="ignore", invalid="ignore"):
        # A mean of equal values differs from them by no more than the rounding of its sum.
        rounding = len(weights) * np.finfo(np.float64).eps * mean
        if np.any((squares > 0) & (squares <= rounding**2)):
            squares[_are_constant(row_sets)] = 0
    return root_mean(squares, row_sets)


def root_mean(squares, row_sets):
    """Return the root of the mean of the columns' mean squares.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    limits = np.finfo(row_sets[0].dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        # A gradient is a product of two deviations and a weight, all perhaps on this scale, and needs its digits too.
        cube = np.mean(squares) ** 1.5
    is_too_large = not cube * len(squares) < limits.max * limits.eps
    is_too_small = cube < limits.tiny / limits.eps and not all(_are_constant([rows]).all() for rows in row_sets)
    if is_too_large or is_too_small:
        low, high = _extremes(row_sets)
        raise ValueError(
            f"X is on the scale of {max(high.max(), -low.min()):.3g}, where products leave the range of "
            f"{limits.dtype}. Scale X first, for example with StandardScaler or MinMaxScaler."
        )
    return float(np.sqrt(np.mean(squares)))


def _extremes(row_sets):
    low, high = zip(*(rows.extremes() for rows in row_sets), strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _are_constant(row_sets):
    """Return the mask, (n_features,), of the columns whose minimum equals their maximum."""
    low, high = _extremes(row_sets)
    return low == high
