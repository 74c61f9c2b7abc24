"""Validation that scikit-learn leaves out."""

from numbers import Integral

import numpy as np
from scipy.sparse import issparse

from skae._sklearn import check_sample_weight


def refuse_masked(X):
    """Raise ValueError for masked entries: scikit-learn would drop the mask and go on with what is under it."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("Input X is a masked array with masked entries: fill or drop them first.")


def canonical(X):
    """Return X, in a copy if it is sparse and holds an entry in several parts."""
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def validated_weights(sample_weight, X):
    """Return one non-negative weight a row, in float64, not all of them zero; only their ratios matter."""
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight has only zeros: at least one row needs a positive weight.")
    # The unit of the weights may not overflow their sum; a power of two leaves every digit.
    return np.ldexp(weights, -np.frexp(weights.max())[1])


def hidden_widths(hidden_layer_sizes):
    """Return the widths of the hidden layers as a sequence; an int is one layer."""
    return (hidden_layer_sizes,) if isinstance(hidden_layer_sizes, Integral) else hidden_layer_sizes
