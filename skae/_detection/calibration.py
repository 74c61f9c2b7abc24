"""From the errors of the training rows to typical errors, scores and the score below which a row is odd."""

import numpy as np

# Rows are odd beyond the third quartile plus so many interquartile ranges of the log errors (Tukey's fence), and at
# least so many of the training rows: nothing is beyond the fence if there are few columns, or if X has no tails.
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
        return max(_fence(scores, weights), _below(scores, weights, _LEAST))
    return _below(scores, weights, contamination)


def _fence(scores, weights):
    logs = np.log(np.maximum(-scores, np.finfo(np.float64).tiny))
    low, high = (_quantile(logs, weights, share) for share in (0.25, 0.75))
    return -float(np.exp(high + _FENCE * (high - low)))


def _below(scores, weights, share):
    """Return a number with at least a share of the weight below it, unless the scores do not differ."""
    last = _quantile(scores, weights, share)
    above = scores[scores > last]
    # Half way to the next score, so that rounding does not move a row to the other side.
    return float(last + (above.min() - last) / 2 if len(above) else last)


def _quantile(values, weights, share):
    """Return the smallest value such that it and those below have at least a share of the weight."""
    return np.quantile(values, share, weights=weights, method="inverted_cdf")
