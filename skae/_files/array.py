"""The rows of a file, or some of them, as an array that gives out rows and is never in memory as a whole."""

from math import prod

import numpy as np

from skae._files.selection import Selection

# Files of up to so many entries are read at once: 32 MB in float64.
_SMALL = 2**22


class FileArray:
    """A matrix of real numbers in a file: `X[slice]` and `X[indices]` read rows.

    Parameters
    ----------
    pages : Pages

    n_features : int

    dtype : dtype
        float32 or float64.

    header : object
        No rows, but the features, as scikit-learn looks for them: a frame where they have names.

    selection : Selection, default=None
        The rows of the file that are meant. None: all.
    """

    ndim = 2

    def __init__(self, pages, n_features, dtype, header, selection=None):
        self._pages, self._selection = pages, selection
        self.header, self.dtype = header, np.dtype(dtype)
        self.shape = int(pages.edges[-1]) if selection is None else len(selection), n_features

    def __len__(self):
        return self.shape[0]

    @property
    def size(self):
        return prod(self.shape)

    def __array__(self, *arguments, **options):
        raise TypeError("X is a file that is read in blocks of rows, X[start:stop], and cannot be one array in memory.")

    def __reduce__(self):
        raise TypeError("X is an open file, which other processes do not share: set n_jobs=None.")

    def __getitem__(self, rows):
        """Return the rows of a slice, of a mask, or of an array of indices as an ndarray, not to be written to."""
        return self.read(rows)

    def read(self, rows, out=None):
        """Return the same rows: a view, or in the first rows of `out` if that is given."""
        if isinstance(rows, slice) and self._selection is None and rows.step in (None, 1):
            return self._stretch(*rows.indices(len(self))[:2], out)
        return self._gathered(self._in_file(rows), out)

    def select(self, rows):
        """Return the rows of a mask, or of an increasing array of indices, as a FileArray; they are not read yet."""
        mask = np.asarray(rows)
        if mask.dtype != bool or self._selection is not None:
            mask = np.zeros(int(self._pages.edges[-1]), dtype=bool)
            mask[self._in_file(rows)] = True
        return FileArray(self._pages, self.shape[1], self.dtype, self.header, Selection(mask))

    def some_pages(self, rng):
        """Yield arrays of indices of rows: those of some pages at a time, at random, as many as are kept at ease."""
        n_pages, n_together = len(self._pages), self._pages.n_together
        order = rng.permutation(n_pages) if n_pages > n_together else np.arange(n_pages)
        for first in range(0, n_pages, n_together):
            yield np.concatenate([self._rows_of(number) for number in np.sort(order[first : first + n_together])])

    def _rows_of(self, page):
        """Return the indices of the rows that are on a page."""
        edges = self._pages.edges[page : page + 2].tolist()
        return np.arange(*(edges if self._selection is None else map(self._selection.n_before, edges)))

    def small_or_file(self):
        """Return all rows as an ndarray if they are few, or else this."""
        return self[:] if self.size <= _SMALL else self

    def _in_file(self, rows):
        """Return the indices, in the file, of some rows."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self))) if self._selection is None else self._selection[rows]
        rows = np.asarray(rows)
        if rows.dtype == bool:
            return np.flatnonzero(rows) if self._selection is None else self._selection[:][rows]
        return rows if self._selection is None else self._selection[rows]

    def _stretch(self, start, stop, out):
        """Return the rows of the file from `start` to `stop`: a view if they are on one page."""
        edges, first = self._pages.edges, self._pages.of_row(start)
        if stop <= edges[first + 1]:
            return self._pages[first][start - edges[first] : max(start, stop) - edges[first]]
        result = self._room(stop - start, out)
        for number in range(first, self._pages.of_row(stop - 1) + 1):
            begin, end = max(start, edges[number]), min(stop, edges[number + 1])
            result[begin - start : end - start] = self._pages[number][begin - edges[number] : end - edges[number]]
        return result

    def _gathered(self, indices, out):
        """Return rows of the file, page by page."""
        result = self._room(len(indices), out)
        of_rows = self._pages.of_rows(indices)
        for number in np.unique(of_rows):
            at = np.flatnonzero(of_rows == number)
            rows = indices[at] - self._pages.edges[number]
            if at[-1] - at[0] < len(at):  # one after the other, as in every pass
                np.take(self._pages[number], rows, axis=0, out=result[at[0] : at[-1] + 1], mode="clip")
            else:
                result[at] = self._pages[number][rows]
        return result

    def _room(self, n_rows, out):
        return np.empty((n_rows, self.shape[1]), self.dtype) if out is None else out[:n_rows]


def selected(X, rows):
    """Return the rows of X that a mask or an increasing array of indices chooses; of a file as `small_or_file` does."""
    return X.select(rows).small_or_file() if isinstance(X, FileArray) else X[rows]
