"""Pages of a file: the rows that are read and decoded together, the last ones of them kept, the next one read ahead."""

import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np

# Bytes of the pages that are kept, and how many are kept at least: the threads of a pass are on neighbouring pages,
# while another one is read ahead. Half of them hold the rows of a stretch of minibatches.
_KEPT_BYTES, _MIN_KEPT = 2**24, 2 + (os.cpu_count() or 1)


class Pages:
    """Pages of a file, which one thread reads while others compute.

    Parameters
    ----------
    read : callable(start, stop) -> ndarray of shape (stop - start, n_features)
        Reads rows; a page at a time. Only one thread calls it.

    edges : ndarray of shape (n_pages + 1,)
        The first row of each page, and the number of rows.

    row_bytes : int
        Size of a decoded row.
    """

    def __init__(self, read, edges, row_bytes):
        self._read, self.edges = read, edges
        self._capacity = max(_MIN_KEPT, _KEPT_BYTES // max(1, int(np.diff(edges).max()) * row_bytes))
        self._kept = OrderedDict()  # futures by number, the least recently used one first
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="skae-reader")

    def __len__(self):
        return len(self.edges) - 1

    @property
    def n_together(self):
        """How many pages are kept at ease, whatever their order."""
        return self._capacity // 2

    def of_rows(self, rows):
        """Return the number of the page that each of some rows, an array of indices, is on."""
        pages = np.searchsorted(self.edges, rows, side="right")
        pages -= 1
        return pages

    def __getitem__(self, number):
        """Return the rows of a page, read-only."""
        with self._lock:
            page = self._future(number)
            # In a pass over the rows the page before has just been used. After the last page comes the next pass.
            follower = (number + 1) % len(self)
            if number == 0 or number - 1 in self._kept:
                self._future(follower)
            self._kept.move_to_end(number)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return page.result()

    def _future(self, number):
        if number not in self._kept:
            self._kept[number] = self._executor.submit(self._decoded, number)
        return self._kept[number]

    def _decoded(self, number):
        rows = self._read(*self.edges[number : number + 2].tolist())
        rows.flags.writeable = False
        return rows
