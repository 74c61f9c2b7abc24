"""Rows that are held in several pieces, or elsewhere: what is needed of them is read first."""

from abc import abstractmethod
from itertools import accumulate, pairwise

import numpy as np
from scipy.sparse import issparse, vstack

from skae._rows.blocks import _EVERY, Rows, rows_of


class ReadRows(Rows):
    """Rows of which a slice has to be read before it is used."""

    @abstractmethod
    def _read(self, rows):
        """Return Rows, and the slice of them that is the given slice of these rows."""

    def dense(self, rows=_EVERY, scratch=None):
        read, rows = self._read(rows)
        return read.dense(rows, scratch)

    def centred_by(self, offset, rows=_EVERY, scratch=None):
        read, rows = self._read(rows)
        return read.centred_by(offset, rows, scratch)

    def squared_deviations(self, centre, rows=_EVERY, scratch=None):
        read, rows = self._read(rows)
        return read.squared_deviations(centre, rows, scratch)

    def weighted_sum(self, rows, weights):
        read, rows = self._read(rows)
        return read.weighted_sum(rows, weights)

    def weighted_squares(self, rows, weights, mean):
        read, rows = self._read(rows)
        return read.weighted_squares(rows, weights, mean)


class JoinedRows(ReadRows):
    """The rows of several arrays, one after the other, which are never copied together.

    Parameters
    ----------
    X : list of {ndarray, CSR} of shape (n_rows, n_features)
        All dense or all sparse, and of one dtype.
    """

    def __init__(self, X):
        super().__init__(X)
        pieces = [rows_of(piece) for piece in X]
        vars(self).update(_pieces=pieces, _starts=list(accumulate(map(len, pieces), initial=0)))

    @property
    def shape(self):
        return len(self), self.X[0].shape[1]

    @property
    def dtype(self):
        return self.X[0].dtype

    def __len__(self):
        return self._starts[-1]

    def take(self, rows):
        """Return the rows of a slice, or of an array of increasing indices."""
        return rows_of(self._joined([piece.X[own] for piece, own in self._within(rows)]))

    def _within(self, rows):
        """Yield each piece that has some of the rows, and where it has them."""
        for piece, (start, stop) in zip(self._pieces, pairwise(self._starts), strict=True):
            if isinstance(rows, slice):
                first, last, _ = rows.indices(len(self))
                own = slice(max(first, start) - start, min(last, stop) - start)
                if own.start < own.stop:
                    yield piece, own
            else:
                first, last = np.searchsorted(rows, (start, stop))
                if first < last:
                    yield piece, rows[first:last] - start

    def _joined(self, parts):
        if not parts:
            return self.X[0][:0]
        return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)

    def _read(self, rows):
        parts = list(self._within(rows))
        return parts[0] if len(parts) == 1 else (self.take(rows), _EVERY)

    def extremes(self):
        low, high = zip(*(piece.extremes() for piece in self._pieces), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def dense_columns(self, columns):
        return np.concatenate([piece.dense_columns(columns) for piece in self._pieces])

    def combine(self, coefficients, mean, threads):
        slices = (slice(*edge) for edge in pairwise(self._starts))
        pairs = zip(self._pieces, slices, strict=True)
        return sum(piece.combine(coefficients[rows], mean, threads) for piece, rows in pairs)

    @property
    def n_read(self):
        return sum(piece.n_read for piece in self._pieces)
