"""Weighted moments of the data, summed in float64 over blocks of rows that are shared out to threads."""

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skae.rows import Centred, dense_rows

_BLOCK_ENTRIES = 2**19


def _sum(part, X, threads, axis=0):
    """Add up, in float64, what `part` gives for slices of X along an axis."""
    length = X.shape[axis]
    blocks = list(gen_batches(length, max(16, _BLOCK_ENTRIES * length // np.prod(X.shape))))
    n_threads = min(threads.n_threads, len(blocks))

    def add(deal):
        total = np.float64(0)
        # An overflow is infinite, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in deal:
                total += part(block)
        return total

    return sum(threads.map(add, [blocks[first::n_threads] for first in range(n_threads)]))


def column_means(draws, weights, threads):
    """Return the weighted means, (n_features,), of the rows of all draws together."""
    total = sum(_sum(lambda rows, X=X: weights[rows] @ X[rows].astype(np.float64), X, threads) for X in draws)
    return total / (weights.sum() * len(draws))


def mean_over_rows(entries, X, weights, threads):
    """Return the weighted mean over rows of the sum of `entries`, a function of a block, over features."""

    def part(rows):
        return weights[rows] @ entries(dense_rows(X, rows).astype(np.float64)).sum(axis=1)

    return float(_sum(part, X, threads) / weights.sum())


def _covariance(X, weights, mean, threads):
    """Return the weighted covariance matrix, (n_features, n_features); the products run in X's dtype."""
    centred, roots = Centred(X, mean.astype(X.dtype)), _roots(X, weights)

    def part(rows):
        block = centred.dense(rows, np.empty((rows.stop - rows.start, X.shape[1]), X.dtype))
        block *= roots[rows, None]
        return block.T @ block

    return _sum(part, X, threads)


def _roots(X, weights):
    return np.sqrt(weights / weights.sum()).astype(X.dtype)


def principal_axes(X, weights, mean, threads):
    """Return the variances along the principal axes, by decreasing variance, and the axes, one a row.

    There are as many as the smaller side of X.
    """
    if X.shape[0] < X.shape[1]:
        return _axes_of_few_rows(X, weights, mean, threads)
    variances, axes = eigh(_covariance(X, weights, mean, threads), overwrite_a=True, check_finite=False)
    return np.maximum(variances[::-1], 0), axes.T[::-1]


def _axes_of_few_rows(X, weights, mean, threads):
    """The same by way of the inner products of the rows."""
    roots = np.sqrt(weights / weights.sum())[:, None]

    def centred(columns):
        return roots * (dense_rows(X.T, columns).T.astype(np.float64) - mean[columns])

    def part(columns):
        block = centred(columns)
        return block @ block.T

    variances, rows = eigh(_sum(part, X, threads, axis=1))
    variances, rows = np.maximum(variances[::-1], 0), rows[:, ::-1]
    # Where the variance is nothing but rounding, QR completes the axes.
    axes, _ = qr(X.T @ (roots * rows) - np.outer(mean, roots.T @ rows), mode="economic")
    return variances, axes.T


def _variances(draws, weights, mean, threads):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""

    def part(X, rows):
        deviations = dense_rows(X, rows) - mean
        return weights[rows] @ np.square(deviations, out=deviations)

    total = sum(_sum(lambda rows, X=X: part(X, rows), X, threads) for X in draws)
    return total / (weights.sum() * len(draws))


def scale_about(draws, weights, mean, threads):
    """Return the root mean square of the deviations from the mean, or 0.0 if they are only rounding errors.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    limits = np.finfo(draws[0].dtype)
    variances = _variances(draws, weights, mean, threads)
    with np.errstate(over="ignore", invalid="ignore"):
        # A gradient is a product of two deviations and a weight, all perhaps on this scale, and needs its digits too.
        cube = np.mean(variances) ** 1.5
        variances[variances <= (16 * limits.eps * mean) ** 2] = 0
    too_large = not cube * len(mean) < limits.max * limits.eps
    too_small = cube < limits.tiny / limits.eps and not all(_is_constant(X) for X in draws)
    if too_large or too_small:
        largest = max(max(X.max(), -X.min()) for X in draws)
        raise ValueError(
            f"X is on the scale of {largest:.3g}, where products leave the range of {limits.dtype}. "
            "Scale X first, for example with StandardScaler or MinMaxScaler."
        )
    return float(np.sqrt(np.mean(variances)))


def _is_constant(X):
    low, high = X.min(axis=0), X.max(axis=0)
    return not (low != high).sum() if issparse(X) else np.array_equal(low, high)
