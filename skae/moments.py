"""Weighted moments of the data, in float64, over blocks of rows."""

import numpy as np
from scipy.linalg import eigh, svd
from sklearn.utils import gen_batches

_BLOCK_ENTRIES = 2**20


def _blocks(X):
    return gen_batches(len(X), max(1, _BLOCK_ENTRIES // X.shape[1]))


def column_means(draws, weights):
    """Return the weighted means, (n_features,), of the rows of all draws together."""
    total = sum(weights[rows] @ X[rows].astype(np.float64) for X in draws for rows in _blocks(X))
    return total / (weights.sum() * len(draws))


def mean_over_rows(entries, X, weights):
    """Return the weighted mean over rows of the sum of `entries`, a function of a block, over features."""
    total = sum(weights[rows] @ entries(X[rows].astype(np.float64)).sum(axis=1) for rows in _blocks(X))
    return total / weights.sum()


def covariance(X, weights, mean):
    """Return the weighted covariance matrix, (n_features, n_features), normalised by the sum of the weights."""
    total = np.zeros((X.shape[1], X.shape[1]))
    for rows in _blocks(X):
        centred = X[rows].astype(np.float64)
        centred -= mean
        total += (centred * weights[rows, None]).T @ centred
    return total / weights.sum()


def principal_axes(X, weights, mean):
    """Return the variances along the principal axes, by decreasing variance, and the axes, one a row."""
    if len(X) < X.shape[1]:
        shares = np.sqrt(weights / weights.sum())
        _, singular_values, axes = svd((X - mean) * shares[:, None], full_matrices=False)
        return singular_values**2, axes
    variances, axes = eigh(covariance(X, weights, mean))
    return np.maximum(variances[::-1], 0), axes.T[::-1]


def _variances(draws, weights, mean):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""
    total = sum(weights[rows] @ np.square(X[rows] - mean) for X in draws for rows in _blocks(X))
    return total / (weights.sum() * len(draws))


def scale_about(draws, weights, mean):
    """Return the root mean square of the deviations from the mean, or 0.0 if they are only rounding errors.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    limits = np.finfo(draws[0].dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        variances = _variances(draws, weights, mean)
        # A gradient is a product of two deviations and a weight, all perhaps on this scale, and needs its digits too.
        cube = np.mean(variances) ** 1.5
        variances[variances <= (16 * limits.eps * mean) ** 2] = 0
    too_large = not cube * len(mean) < limits.max * limits.eps
    too_small = cube < limits.tiny / limits.eps and not all(np.array_equal(X.min(axis=0), X.max(axis=0)) for X in draws)
    if too_large or too_small:
        largest = max(np.abs(X).max() for X in draws)
        raise ValueError(
            f"X is on the scale of {largest:.3g}, where products leave the range of {limits.dtype}. "
            "Scale X first, for example with StandardScaler or MinMaxScaler."
        )
    return float(np.sqrt(np.mean(variances)))
