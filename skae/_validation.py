"""Validation of rows, weights and widths, wherever the package takes them."""

from math import inf, isfinite
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from skae._compat import check_sample_weight, num_samples, safe_indexing
from skae._files.array import FileArray
from skae._files.formats import in_blocks
from skae._weights import Weights

FLOATS = [np.float64, np.float32]


def validated_rows(X, name="X"):
    """Return rows as float64 or float32, as an ndarray or in canonical CSR; ValueError if they are not finite.

    Those of a large file are a FileArray, which raises the error when it reads them.
    """
    refuse_masked(X)
    file = in_blocks(X)
    if isinstance(file, FileArray):
        return file.small_or_file()
    return _as_rows(check_array(X, accept_sparse="csr", dtype=FLOATS, input_name=name))


def validated_input(estimator, X, reset):
    """Return the rows that an estimator is given as `validated_rows` does, and check or set its features."""
    refuse_masked(X)
    file = in_blocks(X)
    if isinstance(file, FileArray):
        validate_data(estimator, file.header, skip_check_array=True, reset=reset)
        return file.small_or_file()
    try:
        X = validate_data(estimator, X, accept_sparse="csr", dtype=FLOATS, reset=reset)
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        raise ValueError(
            f"Input X contains NaN.\n{type(estimator).__name__} does not accept missing entries: fill them first, for "
            "example with skae.impute.AutoencoderImputer as the step before it in a Pipeline."
        ) from None
    return _as_rows(X)


def _as_rows(X):
    # scikit-learn 1.9 leaves a pandas frame of sparse booleans boolean, whatever dtype it is asked for.
    return canonical(X if X.dtype in FLOATS else X.astype(np.float64))


def refuse_masked(X):
    """Raise ValueError for masked entries: scikit-learn would drop the mask and use the entries under it."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("Input X is a masked array with masked entries: fill or drop them first.")


def canonical(X):
    """Return X, in a copy if it is sparse and holds an entry in several parts, or zeros."""
    if issparse(X) and not (X.has_canonical_format and X.data.all()):
        X = X.copy()
        X.sum_duplicates()
        X.eliminate_zeros()
    return X


def validated_weights(sample_weight, X):
    """Return the non-negative Weights of the rows, not all of them zero; only their ratios matter."""
    if sample_weight is None:
        return Weights(0.5, num_samples(X))
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight has only zeros: at least one row needs a positive weight.")
    # The unit of the weights may not overflow their sum; a power of two leaves every digit.
    return Weights(np.ldexp(weights, -np.frexp(weights.max())[1]))


def drop_weightless(weights, *containers):
    """Return Weights and containers of as many rows, of any kind, without the rows of weight zero."""
    if weights.all():
        return weights, *containers
    kept = np.flatnonzero(weights[:])
    return weights.select(kept), *(some_rows_of(rows, kept) for rows in containers)


def some_rows_of(X, indices):
    """Return the rows of any container, at indices in increasing order; those of a file are not read yet."""
    return X.select(indices) if isinstance(X, FileArray) else safe_indexing(X, indices)


def hidden_widths(hidden_layer_sizes):
    """Return the widths of the hidden layers as a sequence; an int is one layer."""
    return (hidden_layer_sizes,) if isinstance(hidden_layer_sizes, Integral) else hidden_layer_sizes


def check_number(part, name, low, high=inf, *, closed):
    """Raise ValueError unless attribute `name` of `part` is a finite number between low and high.

    `closed` holds the ends that are allowed: "left", "right", "both" or "neither".
    """
    value = getattr(part, name)
    left, right = closed in ("left", "both"), closed in ("right", "both")
    is_number = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if is_number and (low < value < high or (left and value == low) or (right and value == high)):
        return
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    raise ValueError(f"{type(part).__name__}: {name} must be a float in {interval}, got {value!r}.")
