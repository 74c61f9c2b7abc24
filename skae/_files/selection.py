"""Some rows of many, as bits."""

import numpy as np

# Rows whose bits are counted together.
_PAGE = 4096


class Selection:
    """The increasing indices at which a mask is true. `selection[numbers]`, of a slice or an array, are some of them.

    They are held as bits: an index would take eight bytes.

    Parameters
    ----------
    mask : ndarray of bool
    """

    def __init__(self, mask):
        self._bits = np.packbits(mask, bitorder="little")
        counts = [np.count_nonzero(mask[start : start + _PAGE]) for start in range(0, len(mask), _PAGE)]
        self._edges = np.cumsum([0, *counts])

    def __len__(self):
        return int(self._edges[-1])

    def __getitem__(self, numbers):
        if isinstance(numbers, slice):
            start, stop, step = numbers.indices(len(self))
            return self._stretch(start, stop)[::step] if start < stop else np.empty(0, dtype=int)
        numbers = np.asarray(numbers)
        pages, result = self._page_of(numbers), np.empty(len(numbers), dtype=int)
        for page in np.unique(pages):
            at = np.flatnonzero(pages == page)
            result[at] = self._on_pages(page, page)[numbers[at] - self._edges[page]]
        return result

    def n_before(self, index):
        """Return how many of them are below an index."""
        page = index // _PAGE
        return int(self._edges[page]) + np.searchsorted(self._on_pages(page, page), index)

    def _stretch(self, start, stop):
        first, last = self._page_of((start, stop - 1))
        return self._on_pages(first, last)[start - self._edges[first] : stop - self._edges[first]]

    def _page_of(self, numbers):
        return np.searchsorted(self._edges, numbers, side="right") - 1

    def _on_pages(self, first, last):
        bits = self._bits[first * _PAGE // 8 : (last + 1) * _PAGE // 8]
        return first * _PAGE + np.flatnonzero(np.unpackbits(bits, bitorder="little"))
