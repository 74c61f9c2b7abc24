"""The error of an imputer on observed entries that are hidden from it."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skae._compat import is_missing, is_pandas_frame
from skae._hiding import draw_hidden
from skae._typing import MatrixLike
from skae._validation import check_number, refuse_masked

_KINDS = (None, "numeric", "categorical")


@dataclass(frozen=True)
class ImputationScorer:
    """The scorer that `skae.metrics.make_imputation_scorer` returns."""

    share: float = 0.1
    random_state: int = 0
    kind: str | None = None

    def __post_init__(self):
        check_number(self, "share", 0, 1, closed="neither")
        if not isinstance(self.random_state, Integral) or isinstance(self.random_state, bool) or self.random_state < 0:
            raise ValueError(
                f"random_state must be an int of at least 0, got {self.random_state!r}: all calls are to hide the same "
                "entries."
            )
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {self.kind!r}.")

    def __call__(self, estimator: Any, X: MatrixLike, y: Any = None) -> float:
        X, columns, observed = _read(X)
        hidden = draw_hidden(observed, self.share, np.random.default_rng(self.random_state))
        truths = {j: column[observed[:, j]] for j, column in enumerate(columns)}
        scored = [j for j, truth in truths.items() if self.kind in (None, _kind(truth)) and len(set(truth)) > 1]
        if not scored:
            raise ValueError(
                f"X has no column to score: with kind={self.kind!r} a column needs two observed entries that differ."
            )
        hidden[:, np.setdiff1d(np.arange(len(columns)), scored)] = False
        imputed = estimator.transform(_without(X, hidden))
        errors = [
            _error(columns[j][rows], _column(imputed, X, j)[rows], truths[j])
            for j, rows in ((j, hidden[:, j]) for j in scored)
        ]
        return -float(np.mean(errors))


def _read(X):
    """Return X as a frame or an array, its columns as arrays of floats or objects, and a mask of observed entries."""
    refuse_masked(X)
    if issparse(X):
        raise TypeError("X is sparse: its missing entries cannot be told from its zeros. Pass an array or a frame.")
    X = X if is_pandas_frame(X) else np.asarray(X)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must be a 2D array with rows and columns, got shape {X.shape}.")
    columns = [_values(X.iloc[:, j] if is_pandas_frame(X) else X[:, j]) for j in range(X.shape[1])]
    observed = [np.array([not is_missing(value) for value in column]) for column in columns]
    return X, columns, np.column_stack(observed)


def _values(column):
    """Return the values of a column: in float64 if they are numbers."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iuf":
        return column.to_numpy(np.float64, na_value=np.nan) if hasattr(column, "iloc") else column.astype(np.float64)
    return np.asarray(column, dtype=object)


def _kind(values):
    return "numeric" if values.dtype.kind == "f" else "categorical"


def _without(X, hidden):
    """Return a copy of X in which entries are missing."""
    if is_pandas_frame(X):
        return X.mask(hidden)
    return np.where(hidden, np.nan, X if X.dtype.kind == "f" else X.astype(object if X.dtype.kind in "OUS" else float))


def _column(imputed, X, j):
    """Return column j of X as an imputer returned it; indicators may come after all columns."""
    if is_pandas_frame(X) and hasattr(imputed, "columns"):
        if X.columns[j] not in imputed.columns:
            raise ValueError(
                f"transform returned no column {X.columns[j]!r}. The columns of X must come back under their names, so "
                "imputers need keep_empty_features=True if a column may have no observed entry."
            )
        return np.asarray(imputed[X.columns[j]], dtype=object)
    shape = np.shape(imputed)
    if len(shape) != 2 or shape[0] != X.shape[0] or shape[1] < X.shape[1]:
        raise ValueError(
            f"transform must return the columns of X, of shape {X.shape}, in their order and with nothing but "
            f"indicators behind them, but returned shape {shape}. Imputers need keep_empty_features=True if a column "
            "may have no observed entry."
        )
    return np.asarray(imputed)[:, j]


def _error(truth, guess, observed):
    """Return the error of the entries of one column, in units of the spread of the observed ones."""
    if any(map(is_missing, guess)):
        raise ValueError("transform left entries missing, so that there is nothing to score: give a fitted imputer.")
    if _kind(truth) == "categorical":
        return np.mean(guess != truth)
    return np.sqrt(np.mean((guess.astype(np.float64) - truth) ** 2)) / observed.std()
