"""Weighted moments of the data, summed in float64 over blocks of rows that are shared out to threads."""

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.extmath import svd_flip

from skae.rows import Centred, dense_rows

_BLOCK_ENTRIES = 2**19


def block_sum(part, X, threads, axis=0):
    """Add up, in float64, what `part`, a function of a slice of X along an axis, gives for all of them."""
    blocks = _blocks(X, X.shape[axis])
    n_threads = min(threads.n_threads, len(blocks))

    def add(deal):
        total = np.float64(0)
        # An overflow is infinite, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in deal:
                total += part(block)
        return total

    return sum(threads.map(add, [blocks[first::n_threads] for first in range(n_threads)]))


def _blocks(X, length):
    return list(gen_batches(length, max(16, _BLOCK_ENTRIES * length // np.prod(X.shape))))


def column_means(draws, weights, threads):
    """Return the weighted means, (n_features,), of the rows of all draws together."""
    total = sum(block_sum(lambda rows, X=X: weights[rows] @ X[rows].astype(np.float64), X, threads) for X in draws)
    return total / (weights.sum() * len(draws))


def _covariance(X, weights, mean, threads):
    """Return the weighted covariance matrix, (n_features, n_features); the products run in X's dtype."""
    centred, roots = Centred(X, mean.astype(X.dtype)), _roots(X, weights)

    def part(rows):
        scratch = np.empty((rows.stop - rows.start, X.shape[1]), X.dtype)
        weighted = np.multiply(centred.dense(rows, scratch), roots[rows, None], out=scratch)
        return weighted.T @ weighted

    return block_sum(part, X, threads)


def _roots(X, weights):
    return np.sqrt(weights / weights.sum()).astype(X.dtype)


def principal_axes(X, weights, mean, threads, count):
    """Return the variances along the first principal axes, by decreasing variance, the axes, one a row, and the total.

    There are `count` axes, but no more than the smaller side of X, with the signs of `PCA`.
    """
    of_axes = X.shape[0] >= X.shape[1]
    products = _covariance(X, weights, mean, threads) if of_axes else _inner_products(X, weights, mean, threads)
    total, size = np.trace(products), len(products)
    count = min(count, size)
    # Few of many axes are found faster on their own.
    subset = (size - count, size - 1) if 4 * count < size else None
    variances, vectors = eigh(products, subset_by_index=subset, overwrite_a=True, check_finite=False)
    variances, vectors = np.maximum(variances[::-1][:count], 0), vectors[:, ::-1][:, :count]
    axes = vectors if of_axes else _axes_of(vectors, X, weights, mean)
    return variances, svd_flip(None, axes.T, u_based_decision=False)[1], total


def _inner_products(X, weights, mean, threads):
    """Return the inner products of the centred rows, (n_samples, n_samples), for an X of more columns than rows."""
    roots = np.sqrt(weights / weights.sum())[:, None]

    def part(columns):
        block = dense_rows(X[:, columns]).astype(np.float64)
        block -= mean[columns]
        block *= roots
        return block @ block.T

    return block_sum(part, X, threads, axis=1)


def _axes_of(rows, X, weights, mean):
    """Return the right singular vectors, one a column, that belong to left ones; QR makes up those without variance."""
    combinations = np.sqrt(weights / weights.sum())[:, None] * rows
    axes, _ = qr(X.T @ combinations - np.outer(mean, combinations.sum(axis=0)), mode="economic")
    return axes


def _variances(draws, weights, mean, threads):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""

    def part(X, rows):
        deviations = dense_rows(X, rows) - mean
        return weights[rows] @ np.square(deviations, out=deviations)

    total = sum(block_sum(lambda rows, X=X: part(X, rows), X, threads) for X in draws)
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
