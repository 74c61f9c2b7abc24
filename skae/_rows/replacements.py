"""Sources of replacements for entries of rows."""

import numpy as np
from scipy.sparse import coo_array, issparse

from skae._rows.statistics import column_means, variances
from skae._rows.threads import SERIAL

# Entries of a sample of rows: 8 MB at most, which each worker of a cluster gets.
_SAMPLED_ENTRIES = 2**20


class Filling:
    """One replacement a column.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_features,)
        Of the replacements.
    """

    def __init__(self, filling):
        self._filling = filling
        self.mean, self.variance = filling.astype(np.float64), np.zeros(len(filling))

    def replaced(self, X, selected, rng):
        if issparse(X):
            return _sparse_filled(X, selected, self._filling)
        return np.where(selected, self._filling, X)


def _sparse_filled(block, masked, filling):
    """Return a block of sparse rows, masked; the columns whose filling is not 0 are made dense on the way."""
    columns = np.flatnonzero(filling)
    dense = np.where(masked[:, columns], filling[columns], block[:, columns].toarray())
    stored_rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    kept = ~masked[stored_rows, block.indices] & (filling[block.indices] == 0)
    rows, filled = np.divmod(np.flatnonzero(dense), max(1, len(columns)))
    data = np.concatenate([block.data[kept], dense[dense != 0]])
    coords = [(stored_rows[kept], rows), (block.indices[kept], columns[filled])]
    coords = [np.concatenate(parts).astype(block.indices.dtype) for parts in coords]
    return coo_array((data, coords), shape=block.shape).tocsr()


class OtherRows:
    """Replacements from the same column of other rows; the attributes are those of Filling.

    Single rows of a file, or on a cluster, are read slowly. A random sample stands for them.
    """

    def __init__(self, rows, weights, rng):
        self.mean = column_means([rows], weights, SERIAL)
        self.variance = variances([rows], weights, self.mean, SERIAL)
        if rows.are_at_hand:
            self._X = rows.X
        else:
            # A generator of its own, so that the noise is that of rows at hand.
            chosen = rows.some(_SAMPLED_ENTRIES // rows.shape[1] + 1, rng.spawn(1)[0])
            self._X, weights = rows.take(chosen).dense(), weights.select(chosen)
        self._cumulative = np.cumsum(weights[:])

    def replaced(self, X, selected, rng):
        columns = np.nonzero(selected)[1]
        drawn = rng.random(len(columns)) * self._cumulative[-1]
        # The last sum may be a rounding above all draws, but not below one.
        others = np.minimum(np.searchsorted(self._cumulative, drawn, side="right"), len(self._cumulative) - 1)
        result = X.copy()
        result[selected] = self._X[others, columns]
        return result


class Extremes:
    """Each column's minimum or maximum; the attributes are those of Filling."""

    def __init__(self, low, high):
        self._low, self._high = low, high
        low, high = low.astype(np.float64), high.astype(np.float64)
        self.mean, self.variance = (low + high) / 2, ((high - low) / 2) ** 2

    def replaced(self, X, selected, rng):
        columns = np.nonzero(selected)[1]
        result = X.copy()
        result[selected] = np.where(rng.random(len(columns)) < 0.5, self._low[columns], self._high[columns])
        return result
