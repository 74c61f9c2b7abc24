"""Rows that are held in several pieces, or elsewhere: what is needed of them is read first."""

from abc import abstractmethod
from bisect import bisect_right
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

    def weighted_counts(self, rows, weights):
        read, rows = self._read(rows)
        return read.weighted_counts(rows, weights)


class JoinedRows(ReadRows):
    """The rows of several arrays, one after the other, which are never copied together.

    Parameters
    ----------
    X : list of {ndarray, CSR} of shape (n_rows, n_features)
        All dense or all sparse, and of one dtype.

    numbers : list of int
        What tells the arrays apart, for draws of their own.
    """

    def __init__(self, X, numbers):
        super().__init__(X)
        pieces = [rows_of(piece) for piece in X]
        starts = list(accumulate(map(len, pieces), initial=0))
        vars(self).update(_pieces=pieces, _keys=[(number,) for number in numbers], _starts=starts)

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
        return rows_of(self._joined([piece.X[own] for _, piece, own in self.pieces(rows)]))

    def pieces(self, rows):
        """As of other Rows; also for an array of increasing indices, of which a piece has some."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return [self._piece(*found) for found in self._slices_between(start, stop)]
        edges = np.searchsorted(rows, self._starts)
        parts = ((number, rows[slice(*edge)]) for number, edge in enumerate(pairwise(edges.tolist())))
        return [self._piece(number, own - self._starts[number]) for number, own in parts if len(own)]

    def _piece(self, number, rows):
        return self._keys[number], self._pieces[number], rows

    def _slices_between(self, start, stop):
        """Yield the numbers of the pieces that have rows from `start` to `stop`, and their slices."""
        number = bisect_right(self._starts, start) - 1
        while start < stop:
            first, last = self._starts[number : number + 2]
            yield number, slice(start - first, min(stop, last) - first)
            start, number = last, number + 1

    def cut(self, size):
        """As of other Rows, with slices that each have rows of one piece: of several, they would have to be copied."""
        pieces = pairwise(self._starts)
        return [slice(first, min(first + size, stop)) for start, stop in pieces for first in range(start, stop, size)]

    def _joined(self, parts):
        if not parts:
            return self.X[0][:0]
        return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)

    def _read(self, rows):
        parts = self.pieces(rows)
        return parts[0][1:] if len(parts) == 1 else (self.take(rows), _EVERY)

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
