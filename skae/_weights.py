"""Weights of rows."""

from copy import copy

import numpy as np

_NONE = np.empty(0, dtype=int)


class Weights:
    """Weights of rows, in float64: `weights[rows]`, of a slice, a mask or an array of indices, is an ndarray.

    Of weights without some rows only slices are read.

    Equal weights are held as one number, and take no memory a row.

    Parameters
    ----------
    values : float or ndarray of shape (n_samples,)
        One number: all weights are equal.

    n_samples : int, default=None
        Their number; None: that of `values`.
    """

    def __init__(self, values, n_samples=None):
        values = np.array(values, dtype=np.float64, copy=None, ndmin=1)
        self._n_samples = len(values) if n_samples is None else n_samples
        self._values = values[:1].copy() if len(values) > 1 and values.min() == values.max() else values
        self._divisor, self._removed = 1.0, _NONE

    def __len__(self):
        return self._n_samples

    @property
    def are_equal(self):
        """Whether all weights are known to be equal."""
        return len(self._values) == 1 and not len(self._removed)

    def __getitem__(self, rows):
        if self.are_equal and isinstance(rows, slice):
            return np.full(len(range(*rows.indices(self._n_samples))), self._values[0] / self._divisor)
        result = np.broadcast_to(self._values, len(self))[rows] / self._divisor
        if len(self._removed):
            start, stop, _ = rows.indices(len(self))
            low, high = np.searchsorted(self._removed, (start, stop))
            result[self._removed[low:high] - start] = 0
        return result

    def __truediv__(self, divisor):
        result = copy(self)
        result._divisor = self._divisor * divisor
        return result

    def without(self, rows):
        """Return the same with zeros at some rows, an array of increasing indices."""
        result = copy(self)
        result._removed = rows
        return result

    def select(self, rows):
        """Return the Weights of the rows that a mask or an array of increasing indices chooses."""
        if not self.are_equal:
            return Weights(self[rows])
        n_selected = np.count_nonzero(rows) if rows.dtype == bool else len(rows)
        return Weights(self._values[0] / self._divisor, n_selected)

    def all(self):
        """Return whether none of them is zero."""
        return bool(self._values.all()) and not len(self._removed)

    def sum(self):
        """Return their sum."""
        removed = np.broadcast_to(self._values, len(self))[self._removed].sum()
        return (self._values.sum() * (len(self) // max(1, len(self._values))) - removed) / self._divisor
