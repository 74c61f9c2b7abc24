"""From the errors of the training rows to typical errors, scores and the score below which a row is odd."""

import numpy as np

# Rows are odd beyond the third quartile plus so many interquartile ranges of the log errors (Tukey's fence), and so
# large a share of the scores in any case: nothing is beyond the fence if there are few columns, or if X has no tails.
_FENCE, _LEAST = 1.5, 0.01

# Smallest typical error of a column, in units of the columns' mean.
_SMALLEST_TYPICAL = 0.1

# In typical errors: larger ones count by their root only.
_LARGE = 9.0


def typical_errors(blocks, weights):
    """Return the weighted mean error of every column, (n_columns,), positive also if a column has no errors.

    Parameters
    ----------
    blocks : iterable of (slice, ndarray of shape (n_rows, n_columns))
        Rows, and their errors.

    weights : ndarray of shape (n_samples,)
        Positive.
    """
    typical = sum(weights[rows] @ errors for rows, errors in blocks) / weights.sum()
    if not np.isfinite(typical).all():
        raise ValueError("The errors of some rows are too large for float64: scale X, for example with RobustScaler.")
    return np.maximum(typical, _SMALLEST_TYPICAL * typical.mean()) if typical.any() else np.ones_like(typical)


def scaled(blocks, typical):
    """Yield the errors of rows in units of the columns' typical errors, (n_rows, n_columns)."""
    for _, errors in blocks:
        ratios = errors / typical
        yield np.where(ratios <= _LARGE, ratios, 2 * np.sqrt(_LARGE * ratios) - _LARGE)


def scores(blocks, typical):
    """Return minus the rows' mean errors in units of the columns' typical errors, (n_rows,)."""
    return np.concatenate([-ratios.mean(axis=1) for ratios in scaled(blocks, typical)])


def offset(scores, weights, contamination):
    """Return the score below which rows are odd: a share of the weight, or if that is "auto" what is beyond a fence."""
    if contamination == "auto":
        return max(_fence(scores, weights), _above(scores, weights, _LEAST))
    return _above(scores, weights, contamination)


def _fence(scores, weights):
    logs = np.log(np.maximum(-scores, np.finfo(np.float64).tiny))
    low, high = np.quantile(logs, [0.25, 0.75], weights=weights, method="inverted_cdf")
    # Beyond float64, if some errors are 0, there is no fence.
    with np.errstate(over="ignore"):
        return -float(np.exp(high + _FENCE * (high - low)))


def _above(scores, weights, share):
    """Return a number below which are as many of the lowest scores as have at most a share of the weight."""
    values, numbers = np.unique(scores, return_inverse=True)
    masses = np.cumsum(np.bincount(numbers, weights))
    n_below = np.searchsorted(masses / masses[-1], share, side="right")
    if n_below == 0:
        return float(values[0])
    # Half way to the next score, so that rounding does not move a row to the other side.
    return float(values[n_below - 1] + (values[n_below] - values[n_below - 1]) / 2)
