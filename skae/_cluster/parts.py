"""The side of a worker: a part of the rows in its memory, and the sums over them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import cloudpickle
import numpy as np
from distributed import get_worker
from scipy.sparse import issparse

from skae._compat import check_sample_weight
from skae._files.selection import Selection
from skae._rows.distinct import distinct_rows
from skae._rows.joined import JoinedRows
from skae._rows.threads import RowThreads, row_threads
from skae._weights import Weights

# The part whose rows and weights a function that is unpickled in this thread gets.
_here = threading.local()


class Block(NamedTuple):
    """The distinct rows of one chunk of X, in the order in which it has them first.

    Attributes
    ----------
    X : {ndarray, CSR} of shape (n_distinct, n_features), or None
        None if there are none.

    weights : Weights of shape (n_distinct,)

    firsts : ndarray of shape (n_distinct,), Selection or None
        Where the chunk has each of them first. None: they are the chunk.

    n_given : int
        Rows of the chunk.
    """

    X: object
    weights: Weights
    firsts: np.ndarray | Selection | None
    n_given: int

    def chosen(self, mask):
        """Return the block of the rows that a mask chooses."""
        firsts = Selection(mask) if self.firsts is None else self.firsts[mask]
        return Block(self.X[mask], self.weights.select(mask), firsts, self.n_given)

    @property
    def summary(self):
        """The rows of the chunk, those that are left, and their largest weight."""
        return self.n_given, len(self.weights), float(self.weights[:].max(initial=0))


def load(chunk, sample_weight, estimator, loss, dtype):
    """Return the Block of a chunk of X, validated as the estimator does it."""
    n_given = chunk.shape[0]
    if not n_given or (sample_weight is not None and not np.any(sample_weight)):
        return Block(None, Weights(np.empty(0)), None, n_given)
    X = estimator._validated(chunk, reset=False).astype(dtype, copy=False)
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    distinct = distinct_rows(X, Weights(weights))
    weights, firsts = distinct.weights, distinct.indices
    if firsts is not None:
        order = np.argsort(firsts)
        weights, firsts = weights.select(order), firsts[order]
        X, firsts = (X, None) if len(firsts) == n_given else (X[firsts], firsts)
    loss.check_targets(X)
    return Block(X, weights, firsts, n_given)


class Places:
    """Where the rows of a part are among all rows.

    Parameters
    ----------
    firsts, counts : list of int
        The number of the first row of each of its blocks, which come in order, and of its rows.
    """

    def __init__(self, firsts, counts):
        self.firsts, self.counts = firsts, counts
        self._edges = np.cumsum([0, *counts])

    def __len__(self):
        return int(self._edges[-1])

    def within(self, rows):
        """Return which of some rows, an array of increasing indices, are in the part, and their indices there."""
        places, own = [np.empty(0, dtype=int)], [np.empty(0, dtype=int)]
        for first, count, start in zip(self.firsts, self.counts, self._edges[:-1], strict=True):
            low, high = np.searchsorted(rows, (first, first + count))
            places.append(np.arange(low, high))
            own.append(rows[low:high] - first + start)
        return np.concatenate(places), np.concatenate(own)

    def by_block(self, own):
        """Yield the number of each block that has some of the part's rows, given by increasing indices, and where."""
        edges = np.searchsorted(own, self._edges)
        for block, (low, high) in enumerate(pairwise(edges)):
            if low < high:
                yield block, own[low:high] - self._edges[block]


class Part:
    """The rows of some blocks, in the memory of a worker.

    Parameters
    ----------
    blocks : list of Block

    starts : list of int
        Where X has the first row of each.

    places : Places
        Of its rows among all that are chosen.

    exponent : int
        The weights are divided by this power of two.

    masks : iterable of ndarray of bool, default=None
        Which rows of each block are chosen; None: all.
    """

    def __init__(self, blocks, starts, places, exponent, masks=None):
        if masks is not None:
            blocks = [block.chosen(mask) for block, mask in zip(blocks, masks, strict=True)]
        self.rows = JoinedRows([block.X for block in blocks], starts)
        self.weights = Weights(np.ldexp(np.concatenate([block.weights[:] for block in blocks]), -exponent))
        self.places, self._starts, self._firsts = places, starts, [block.firsts for block in blocks]

    def __sizeof__(self):
        # So that the scheduler sends work to the rows, not the rows to where there is less work.
        return sum(X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes for X in self.rows.X)

    def loads(self, pickled):
        """Return what was pickled with the rows and weights of the cluster: these take their place."""
        _here.part = self
        try:
            return cloudpickle.loads(pickled)
        finally:
            del _here.part

    def sum(self, pickled):
        """Return the sum of a function over the blocks of RowBlocks, or of the rows if that is None."""
        with row_threads(n_threads=_n_threads()) as threads:
            function, read = self.loads(pickled)
            return self.rows.sum(function, threads, read=read)

    def where(self, function):
        """Return the numbers, among all rows, of those at which a function gives a mask that is true."""
        with row_threads(n_threads=_n_threads()) as threads:
            found = self.places.by_block(self.rows.where(self.loads(function), threads))
        numbers = (self.places.firsts[block] + own for block, own in found)
        return np.concatenate([np.empty(0, dtype=int), *numbers])

    def extremes(self, pickled):
        """Return the extremes of RowBlocks, or of the rows if that is None."""
        read = self.loads(pickled)
        return self.rows.extremes() if read is None else self.rows.extremes_of(read)

    def taken(self, rows):
        """Return some rows, an array of increasing indices."""
        return self.rows.take(rows).X

    def weights_of(self, rows):
        return self.weights[rows]

    def n_read(self):
        return self.rows.n_read

    def firsts_of(self, rows):
        """Return where X has some rows, an array of increasing indices, first."""
        parts = [np.empty(0, dtype=int)]
        for block, own in self.places.by_block(rows):
            firsts = self._firsts[block]
            parts.append(self._starts[block] + (own if firsts is None else firsts[own]))
        return np.concatenate(parts)


def part_of(blocks, starts, places, exponent, draw, numbers, are_held_out):
    """Return the Part of the rows that a HeldOutDraw chooses to hold out, or of the others.

    `numbers` are those of the first row of each block among all rows that are drawn from.
    """
    stretches = [(number, len(block.weights)) for number, block in zip(numbers, blocks, strict=True)]
    masks = (mask == are_held_out for mask in draw.masks(stretches))
    return Part(blocks, starts, places, exponent, masks)


def rows_here():
    return _here.part.rows


def values_here(function):
    """Return the numbers of a function of the rows, one a row."""
    return _here.part.rows.values(function)


def weights_here(divisor, removed):
    """Return the weights over a number, with zeros at the removed ones of all rows."""
    part = _here.part
    return part.weights.without(part.places.within(removed)[1]) / divisor


class PartMoved(Exception):
    """The worker that made the first sweep over a part is gone, and another one has the part."""


class PartObjective:
    """An Objective over the rows of a part. It stays where the part is, and keeps its buffers from call to call.

    After a loss of workers the client may call it again before a former call has ended, which then goes first.

    Parameters
    ----------
    part : Part

    pickled : bytes
        The function that makes the objective, given `threads`.
    """

    def __init__(self, part, pickled):
        self._part, self._pickled = part, pickled
        n_threads = _n_threads()
        executor = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        self._objective = part.loads(pickled)(threads=RowThreads(n_threads, executor))
        self._number, self._lock = None, threading.RLock()

    def __reduce__(self):
        return PartObjective, (self._part, self._pickled)

    def __sizeof__(self):
        return self._part.__sizeof__()

    def statistics_at(self, theta, number):
        """Return the part's sums of a first sweep, of the evaluation of that number."""
        with self._lock, row_threads(n_threads=1):
            self._number = number
            return self._objective.statistics_at(theta)

    def gradients_after(self, number, statistics):
        """Return the part's terms and gradient, given the sums of a first sweep over all parts.

        Raises PartMoved if this object did not make the first sweep.
        """
        return self._second_sweep(self._objective.gradients_after, number, statistics)

    def values_after(self, number, statistics):
        """Return the part's terms alone, as `gradients_after`."""
        return self._second_sweep(self._objective.values_after, number, statistics)

    def gradients_at(self, theta, number, statistics):
        """Return the part's terms and gradient, given theta besides."""
        with self._lock:
            self.statistics_at(theta, number)
            return self.gradients_after(number, statistics)

    def values_at(self, theta, number, statistics):
        """Return the part's terms alone, given theta besides."""
        with self._lock:
            self.statistics_at(theta, number)
            return self.values_after(number, statistics)

    def _second_sweep(self, sweep, number, statistics):
        with self._lock, row_threads(n_threads=1):
            if number != self._number:
                raise PartMoved
            return sweep(statistics)


def call(target, method, *arguments):
    """Call a method of an object that is in the memory of this worker."""
    return getattr(target, method)(*arguments)


def _n_threads():
    """Return how many threads the worker that runs this has for its tasks."""
    return get_worker().state.nthreads


def added(results):
    """Return the sum of the results of several parts: numbers, arrays, or tuples or dicts of them."""
    first = results[0]
    if isinstance(first, dict):
        return {name: added([result[name] for result in results]) for name in first}
    if isinstance(first, tuple):
        return tuple(added(parts) for parts in zip(*results, strict=True))
    return sum(results[1:], start=first)
