"""Some rows of many, as bits."""

import numpy as np

# Rows whose bits are counted together: an integer holds them.
_PAGE = 64


class Selection:
    """The increasing indices at which a mask is true. `selection[numbers]`, of a slice or an array, are some of them.

    They are held as bits: an index would take eight bytes.

    Parameters
    ----------
    mask : ndarray of bool
    """

    def __init__(self, mask):
        packed = np.packbits(mask)
        self._bits = np.zeros((-(-len(mask) // _PAGE), _PAGE // 8), dtype=np.uint8)
        self._bits.ravel()[: len(packed)] = packed
        counts = np.bitwise_count(self._bits.view(np.uint64)).ravel()
        self._edges = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self):
        return int(self._edges[-1])

    def __getitem__(self, numbers):
        if isinstance(numbers, slice):
            start, stop, step = numbers.indices(len(self))
            return self._stretch(start, stop)[::step] if start < stop else np.empty(0, dtype=int)
        pages = self._page_of(numbers)
        counts = np.cumsum(np.unpackbits(self._bits[pages], axis=1), axis=1, dtype=np.uint8)
        return pages * _PAGE + np.argmax(counts > (numbers - self._edges[pages])[:, None], axis=1)

    def n_before(self, index):
        """Return how many of them are below an index."""
        page = index // _PAGE
        return int(self._edges[page]) + int(np.searchsorted(self._on_pages(page, page), index))

    def _stretch(self, start, stop):
        first, last = self._page_of(np.array([start, stop - 1]))
        return self._on_pages(first, last)[start - self._edges[first] : stop - self._edges[first]]

    def _page_of(self, numbers):
        return np.searchsorted(self._edges, numbers, side="right") - 1

    def _on_pages(self, first, last):
        return first * _PAGE + np.flatnonzero(np.unpackbits(self._bits[first : last + 1]))
