"""Weighted moments of the data, summed in float64 over blocks of rows that are shared out to threads."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import gen_batches

_BLOCK_ENTRIES = 2**19

# Where the mean of the rows is longer than twice their spread, intercepts would cost digits: then the rows themselves
# are centred, block by block, which takes a pass over X.
_NEAR = 4.0


def block_sum(part, X, threads, axis=0):
    """Add up, in float64, what `part`, a function of a slice of X along an axis, gives for all of them."""
    blocks = blocks_of(X, axis)
    n_threads = min(threads.n_threads, len(blocks))

    def add(deal):
        total = np.float64(0)
        # An overflow is infinite, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in deal:
                total += part(block)
        return total

    return sum(threads.map(add, [blocks[first::n_threads] for first in range(n_threads)]))


def blocks_of(X, axis):
    """Return slices of X along an axis, as many entries each as suit memory."""
    length = X.shape[axis]
    return list(gen_batches(length, max(16, _BLOCK_ENTRIES * length // np.prod(X.shape))))


def column_means(draws, weights, threads):
    """Return the weighted means, (n_features,), of the rows of all draws together."""
    total = sum(block_sum(lambda rows, X=X: weights[rows] @ X[rows].astype(np.float64), X, threads) for X in draws)
    return total / (weights.sum() * len(draws))


def variances(draws, weights, mean, threads):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""
    squares = sum(
        block_sum(lambda rows, X=X: _weighted_squares(X[rows], weights[rows], mean), X, threads) for X in draws
    )
    return squares / (weights.sum() * len(draws))


def _weighted_squares(block, weights, mean):
    """Return the weighted sums, (n_features,), of the squared deviations of some rows from the mean, in float64."""
    if not issparse(block):
        deviations = block - mean
        return weights @ np.square(deviations, out=deviations)
    of_entries, columns = np.repeat(weights, np.diff(block.indptr)), block.indices
    sums = [
        np.bincount(columns, entries, minlength=len(mean))
        for entries in (of_entries * (block.data - mean[columns]) ** 2, of_entries)
    ]
    of_zeros = np.where(np.bincount(columns, minlength=len(mean)) < block.shape[0], weights.sum() - sums[1], 0)
    return sums[0] + of_zeros * mean**2


def scale_about(draws, weights, mean, threads):
    """Return the root mean square of the deviations from the mean, over the columns that are not constant.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    limits = np.finfo(draws[0].dtype)
    squares = variances(draws, weights, mean, threads)
    with np.errstate(over="ignore", invalid="ignore"):
        # A gradient is a product of two deviations and a weight, all perhaps on this scale, and needs its digits too.
        cube = np.mean(squares) ** 1.5
        # A mean of equal values differs from them by no more than the rounding of its sum.
        rounding = len(weights) * np.finfo(np.float64).eps * mean
        if np.any((squares > 0) & (squares <= rounding**2)):
            squares[_are_constant(draws)] = 0
    too_large = not cube * len(mean) < limits.max * limits.eps
    too_small = cube < limits.tiny / limits.eps and not all(_are_constant([X]).all() for X in draws)
    if too_large or too_small:
        largest = max(max(X.max(), -X.min()) for X in draws)
        raise ValueError(
            f"X is on the scale of {largest:.3g}, where products leave the range of {limits.dtype}. "
            "Scale X first, for example with StandardScaler or MinMaxScaler."
        )
    return float(np.sqrt(np.mean(squares)))


def _are_constant(draws):
    """Return the mask, (n_features,), of the columns whose minimum equals their maximum."""

    def extremes(X):
        pair = X.min(axis=0), X.max(axis=0)
        return [side.toarray().ravel() for side in pair] if issparse(X) else pair

    low, high = zip(*map(extremes, draws), strict=True)
    return np.min(low, axis=0) == np.max(high, axis=0)


def row_offset(mean, scale):
    """Return what to subtract from rows before a product, (n_features,): their mean, or zeros if that is small."""
    with np.errstate(over="ignore"):
        is_small = mean @ mean <= _NEAR * len(mean) * scale**2
    return np.zeros_like(mean) if is_small else mean
