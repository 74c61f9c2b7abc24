"""The losses that loss="auto" chooses, and the loss of a fit."""

import re
from collections import defaultdict

import numpy as np
from scipy.sparse import issparse

from skae._compat import feature_names
from skae.losses._columns import ColumnLosses
from skae.losses._registry import make_loss

AUTO = "auto"

# Integers of fewer values are ratings or codes rather than counts.
_MANY = 10


def loss_for(loss, output_activation, X, values, weights):
    """Return the Loss of these two parameters of an estimator.

    X is the frame or array as it was given, `values` are its rows as an ndarray or CSR, and `weights` theirs.
    """
    loss = make_loss(loss, output_activation)
    if isinstance(loss, str):
        loss = chosen_losses(X, values if weights.all() else values[weights[:] > 0])
    return loss.resolved(X if hasattr(X, "shape") else values)


def chosen_losses(X, values):
    """Return the ColumnLosses for the types and values of the columns."""
    columns = values.tocsc() if issparse(values) else values
    of_loss = defaultdict(list)
    for column, kind in enumerate(_kinds(X, values)):
        of_loss[_loss_of(kind, _distinct(columns, column))].append(column)
    names = feature_names(X)
    groups = [] if names is None else list(_one_hot_groups(columns, names, of_loss["cross_entropy"]))
    grouped = {column for group in groups for column in group}
    of_loss["cross_entropy"] = [column for column in of_loss["cross_entropy"] if column not in grouped]
    entries = [(loss, columns) for loss, columns in of_loss.items() if columns]
    return ColumnLosses([*entries, *(("categorical", group) for group in groups)])


def _kinds(X, values):
    """Return the kind of each column's type, as NumPy abbreviates it."""
    if not hasattr(X, "columns"):
        return [getattr(X, "dtype", values.dtype).kind] * values.shape[1]
    return [
        getattr(dtype, "kind", None) or np.asarray(X[name]).dtype.kind
        for name, dtype in zip(X.columns, X.dtypes, strict=True)
    ]


def _distinct(X, column):
    """Return the distinct values of a column of an ndarray or CSC."""
    if not issparse(X):
        return np.unique(X[:, column])
    stored = X.data[X.indptr[column] : X.indptr[column + 1]]
    return np.unique(stored if len(stored) == X.shape[0] else np.append(stored, 0))


def _loss_of(kind, distinct):
    if kind == "b" or np.array_equal(distinct, [0, 1]):
        return "cross_entropy"
    return "poisson" if kind in "iu" and distinct[0] >= 0 and len(distinct) > _MANY else "squared_error"


def _one_hot_groups(X, names, columns, n_pieces=1):
    """Yield the groups of columns, two or more, whose names begin alike and of which no row has more than one.

    Names are cut at "_" and "=". Where those with the same first piece do not make a group, the first two are compared.
    """
    groups = defaultdict(list)
    for column in columns:
        pieces = re.split("[_=]", names[column])
        if len(pieces) > n_pieces:
            groups[tuple(pieces[:n_pieces])].append(column)
    for group in groups.values():
        if len(group) > 1 and X[:, group].sum(axis=1).max() <= 1:
            yield group
        elif len(group) > 1:
            yield from _one_hot_groups(X, names, group, n_pieces + 1)
