"""The left factors of the products of a layer: a block of rows, dense, or sparse less a dense offset."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Dense:
    """Dense rows."""

    entries: np.ndarray

    @property
    def shape(self):
        return self.entries.shape

    @property
    def dtype(self):
        return self.entries.dtype

    def dense(self, scratch=None):
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

    def dense(self, scratch=None):
        block = self.rows.toarray(out=None if scratch is None else scratch[: self.rows.shape[0]])
        block -= self.offset
        return block

    def times(self, W, out):
        np.subtract(self.rows @ W, self.offset @ W, out=out)

    def transposed_times(self, delta, out):
        np.multiply.outer(-self.offset, delta.sum(axis=0), out=out)
        out += self.rows.T @ delta
