"""Pages of a file: the rows that are read and decoded together, the last of them kept, the next ones read ahead."""

import os
from bisect import bisect_right
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np

# Bytes of the pages that are kept, and how many are kept at least besides those that are read ahead: the threads of a
# pass are on neighbouring pages. Half of them hold the rows of a stretch of minibatches.
_KEPT_BYTES, _MIN_KEPT = 2**24, 1 + (os.cpu_count() or 1)


class Pages:
    """Pages of a file, which some threads read while others compute.

    Parameters
    ----------
    read : callable(start, stop) -> ndarray of shape (stop - start, n_features)
        Reads rows; a page at a time.

    edges : ndarray of shape (n_pages + 1,)
        The first row of each page, and the number of rows.

    row_bytes : int
        Size of a decoded row.

    n_readers : int
        Number of threads that call `read`, and of pages that they read ahead.
    """

    def __init__(self, read, edges, row_bytes, n_readers):
        self._read, self.edges, self._n_ahead = read, edges, min(n_readers, len(edges) - 1)
        page_bytes = max(1, int(np.diff(edges).max()) * row_bytes)
        self._capacity = max(_MIN_KEPT + self._n_ahead, _KEPT_BYTES // page_bytes)
        self._kept = OrderedDict()  # futures by number, the least recently used one first
        self._asked_for = {}  # those that no reader has begun with
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(n_readers, thread_name_prefix="skae-reader")

    def __len__(self):
        return len(self.edges) - 1

    @property
    def n_together(self):
        """How many pages are kept at ease, whatever their order."""
        return self._capacity // 2

    def of_row(self, row):
        """Return the number of the page that a row is on; the last one if it is beyond."""
        return min(bisect_right(self.edges, row), len(self)) - 1

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
            if number == 0 or number - 1 in self._kept:
                for follower in range(number + 1, number + 1 + self._n_ahead):
                    self._future(follower % len(self))
            self._kept.move_to_end(number)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return page.result()

    def _future(self, number):
        """Return the future rows of a page; the caller holds the lock."""
        if number not in self._kept:
            if number not in self._asked_for:
                self._asked_for[number] = Future()
                self._executor.submit(self._read_first)
            self._kept[number] = self._asked_for[number]
        return self._kept[number]

    def _read_first(self):
        """Read the first page that is asked for.

        So a thread that lags behind in a pass by more pages than are kept comes up with the others, who wait for
        theirs, and from there on each page is read once for all.
        """
        with self._lock:
            number = min(self._asked_for)
            future = self._asked_for.pop(number)
        try:
            future.set_result(self._decoded(number))
        except BaseException as error:
            future.set_exception(error)

    def _decoded(self, number):
        rows = self._read(*self.edges[number : number + 2].tolist())
        rows.flags.writeable = False
        return rows
