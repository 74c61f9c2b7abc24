"""Rows that are corrupted whenever they are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse, vstack

from skae._rows.blocks import _EVERY, RowBlocks, rows_of


@dataclass(frozen=True, eq=False)
class DrawnRows(RowBlocks):
    """Corruptions of the rows of X, drawn from a seed a chunk at a time: the same ones at each reading, not stored.

    Parameters
    ----------
    X : {ndarray, CSR} of shape (n_samples, n_features)
        The clean rows.

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
        return DrawnRows(self.X[rows], self.noise, self.seed, self.chunk)

    @property
    def rows_together(self):
        return self.chunk

    def stored(self):
        """Return the Rows of all draws, held in memory."""
        return self._read(slice(None))

    def blocks(self, axis=0):
        if axis:
            raise ValueError("Columns cannot be drawn apart from each other.")
        return [slice(start, min(start + self.chunk, len(self))) for start in range(0, len(self), self.chunk)]

    def entry_weights(self, rows):
        """Return the weights of the entries' losses of a slice, (n_rows, n_features)."""
        return self._of_chunks(rows, lambda X, rng: self.noise.entry_weights(X.shape, X.dtype, rng))

    def _of_chunks(self, rows, function):
        """Return `function(X, rng)`, a row of X each, of a slice of the rows."""
        start, stop, _ = rows.indices(len(self))
        first = start // self.chunk
        parts = []
        for number in range(first, -(-stop // self.chunk)):
            X = self.X[number * self.chunk : (number + 1) * self.chunk]
            parts.append(function(X, np.random.default_rng([*self.seed, number])))
        if len(parts) > 1:
            parts = [vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)]
        start, stop = start - first * self.chunk, stop - first * self.chunk
        return parts[0] if stop - start == parts[0].shape[0] else parts[0][start:stop]

    def _read(self, rows):
        return rows_of(self._of_chunks(rows, self.noise.corrupt))

    def dense(self, rows=_EVERY, scratch=None):
        return self._read(rows).dense(scratch=scratch)

    def centred_by(self, offset, rows=_EVERY, scratch=None):
        return self._read(rows).centred_by(offset, scratch=scratch)

    def weighted_sum(self, rows, weights):
        return self._read(rows).weighted_sum(_EVERY, weights)

    def weighted_squares(self, rows, weights, mean):
        return self._read(rows).weighted_squares(_EVERY, weights, mean)

    def extremes(self):
        low, high = zip(*(self._read(block).extremes() for block in self.blocks()), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)
