"""Rows that are corrupted whenever they are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack

from skae._rows.blocks import _EVERY, RowBlocks, rows_of


@dataclass(frozen=True, eq=False)
class DrawnRows(RowBlocks):
    """Corruptions of rows, drawn from a seed a chunk at a time: the same ones at each reading, not stored.

    Parameters
    ----------
    X : Rows of shape (n_samples, n_features)
        The clean rows. Each of their pieces has chunks and draws of its own, wherever it is.

    noise : object
        With the methods `corrupt` and `entry_weights` of a Corruption.

    seed : tuple of int

    chunk : int
        Rows drawn together. Slices that begin and end between chunks cost no more than their rows.
    """

    noise: Any
    seed: tuple
    chunk: int

    def take(self, rows):
        """Return the rows of an array of indices, with draws of their own."""
        return DrawnRows(self.X.take(rows), self.noise, self.seed, self.chunk)

    def stored(self):
        """Return the Rows of all draws, held in memory."""
        return self.read(slice(None))

    def blocks(self, axis=0):
        if axis:
            raise ValueError("Columns cannot be drawn apart from each other.")
        return self.cut(self.chunk)

    def cut(self, size):
        return self.X.cut(self.chunk)

    def sum(self, part, threads, axis=0):
        return self.X.sum(part, threads, axis, read=self)

    def entry_weights(self, rows):
        """Return the weights of the entries' losses of a slice, (n_rows, n_features)."""
        return self._of_chunks(rows, lambda X, rng: self.noise.entry_weights(X.shape, X.dtype, rng))

    def _of_chunks(self, rows, function):
        """Return `function(X, rng)`, a row of X each, of a slice of the rows."""
        parts = [part for piece in self.X.pieces(rows) for part in self._of_piece(*piece, function)]
        if len(parts) == 1:
            return parts[0]
        return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)

    def _of_piece(self, key, piece, rows, function):
        """Yield the parts, each of a chunk, of `_of_chunks` for a slice of a piece."""
        for number in range(rows.start // self.chunk, -(-rows.stop // self.chunk)):
            start = number * self.chunk
            X = piece.X[start : start + self.chunk]
            part = function(X, np.random.default_rng([*self.seed, *key, number]))
            own = slice(max(0, rows.start - start), min(X.shape[0], rows.stop - start))
            yield part if own == slice(0, X.shape[0]) else part[own]

    def read(self, rows):
        """Return the Rows of a slice, drawn."""
        return rows_of(self._of_chunks(rows, self.noise.corrupt))

    def dense(self, rows=_EVERY, scratch=None):
        return self.read(rows).dense(scratch=scratch)

    def centred_by(self, offset, rows=_EVERY, scratch=None):
        return self.read(rows).centred_by(offset, scratch=scratch)

    def weighted_sum(self, rows, weights):
        return self.read(rows).weighted_sum(_EVERY, weights)

    def weighted_squares(self, rows, weights, mean):
        return self.read(rows).weighted_squares(_EVERY, weights, mean)

    def extremes(self):
        return self.X.extremes_of(self)
