"""The rows of X, a block at a time, also about an offset: neither a centred nor a dense copy of X is ever made."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse


def dense_rows(X, rows=slice(None), scratch=None):
    """Return a slice of the rows of X, dense or CSR, as an ndarray: a view, or in the first rows of `scratch`."""
    block = X[rows]
    if not issparse(block):
        return block
    return block.toarray(out=None if scratch is None else scratch[: block.shape[0]])


def some_rows(X, rows):
    """Return a slice of the rows of X in the container that X is; CSR if it is sparse."""
    if issparse(X):
        return X.tocsr()[rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


@dataclass(frozen=True, eq=False)
class Dense:
    """The dense left factor of two products."""

    entries: np.ndarray

    @property
    def shape(self):
        return self.entries.shape

    @property
    def dtype(self):
        return self.entries.dtype

    def dense(self, scratch):
        """Return the rows as an ndarray, not to be written to: a view, or in the first rows of `scratch`."""
        return self.entries

    def times(self, W, out):
        """Write entries W into `out`."""
        np.matmul(self.entries, W, out=out)

    def transposed_times(self, delta, out):
        """Write entries^T delta into `out`."""
        np.matmul(self.entries.T, delta, out=out)


@dataclass(frozen=True, eq=False)
class OffsetSparse:
    """Sparse rows less a dense offset, which enters the products as a term of rank one."""

    rows: object
    offset: np.ndarray

    @property
    def shape(self):
        return self.rows.shape

    @property
    def dtype(self):
        return self.rows.dtype

    def dense(self, scratch):
        block = self.rows.toarray(out=scratch[: self.rows.shape[0]])
        block -= self.offset
        return block

    def times(self, W, out):
        np.subtract(self.rows @ W, self.offset @ W, out=out)

    def transposed_times(self, delta, out):
        np.multiply.outer(-self.offset, delta.sum(axis=0), out=out)
        out += self.rows.T @ delta


def less(block, offset):
    """Return rows, dense or CSR, less an offset, as a factor of products."""
    if issparse(block):
        return OffsetSparse(block, offset)
    return Dense(block - offset if offset.any() else block)


@dataclass(frozen=True, eq=False)
class Centred:
    """The rows of X less an offset.

    Parameters
    ----------
    X : {ndarray, CSR} of shape (n_samples, n_features)

    offset : ndarray of shape (n_features,)
        In X's dtype. All zeros spare a pass over a dense X.
    """

    X: object
    offset: np.ndarray

    def block(self, rows, scratch):
        """Return a slice of the rows as a factor of products, good until `scratch`, for as many rows, is used again."""
        if issparse(self.X):
            return OffsetSparse(self.X[rows], self.offset)
        return Dense(self.dense(rows, scratch))

    def dense(self, rows, scratch):
        """Return a slice of the rows as an ndarray, not to be written to: a view, or in the first rows of `scratch`."""
        block = dense_rows(self.X, rows, scratch)
        return np.subtract(block, self.offset, out=scratch[: len(block)]) if self.offset.any() else block
