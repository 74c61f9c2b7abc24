"""The distinct rows of X, and the sums of their weights.

Rows of weight zero are left out, and equal rows are merged into one row with the sum of their weights. -0.0 equals 0.0,
and a stored zero of sparse X equals one that is not stored.
"""

from dataclasses import dataclass
from math import ceil, log2, prod

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils import gen_batches

from skae._files.array import FileArray, selected
from skae._files.selection import Selection
from skae._rows.blocks import rows_of
from skae._weights import Weights

# X of up to so many entries may be copied: 32 MB in float64.
_SMALL = 2**22

# Entries worked on at a time, as many as suit the cache.
_BLOCK_ENTRIES = 2**15

# Hashes are counted in a share of their range that has about so many. A count so many standard deviations from another
# number leaves no more doubt than a hash does.
_COUNTED, _BEYOND_DOUBT = 2**15, 8


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Rows of positive weight, all different if equal rows were merged.

    Attributes
    ----------
    indices : ndarray of shape (n_distinct,) or None
        Index of the first row of X that equals each of them. None: they are the rows of X in their order.

    weights : Weights of shape (n_distinct,)
        The sums of the weights of equal rows.

    numbers : ndarray of shape (n_samples,) or None
        Number of the distinct row that each row of X equals; -1 for a row of weight zero. None: no rows were merged.
    """

    indices: np.ndarray | None
    weights: Weights
    numbers: np.ndarray | None

    def take(self, X, chosen=None):
        """Return the distinct rows that a mask chooses, and their weights; None: all."""
        if chosen is None:
            return X if self.indices is None else selected(X, self.indices), self.weights
        return selected(X, chosen if self.indices is None else self.indices[chosen]), self.weights.select(chosen)

    def firsts(self, chosen=None):
        """Return the function that gives, for some of the chosen rows, an array of indices, where X has each first."""
        indices, selection = self.indices, None if chosen is None else Selection(chosen)

        def first(rows):
            rows = rows if selection is None else selection[rows]
            return rows if indices is None else indices[rows]

        return first

    def equal_to(self, chosen=None):
        """Return the indices, in increasing order, of all rows of X that equal one of the chosen rows."""
        chosen = np.ones(len(self.weights), dtype=bool) if chosen is None else chosen
        if self.numbers is not None:
            return np.flatnonzero((self.numbers >= 0) & chosen[self.numbers])
        return np.flatnonzero(chosen) if self.indices is None else self.indices[chosen]


def distinct_rows(X, weights):
    """Return the DistinctRows of X.

    Up to 2^22 entries of X, equal rows are always merged, and come in the lexicographic order of their values, which
    depends neither on the order of the rows of X nor on its dtype, format or unit. Larger X is merged only if that
    leaves less than half of its rows, in the order in which X has them first.

    Parameters
    ----------
    X : {ndarray, CSR, FileArray} of shape (n_samples, n_features)
        Finite; CSR in canonical format. A FileArray is large.

    weights : Weights of shape (n_samples,)
        At least zero, not all of them zero.

    Returns
    -------
    DistinctRows
    """
    kept = None if weights.all() else np.flatnonzero(weights[:])
    is_small = prod(X.shape) <= _SMALL
    if not (is_small or _under_half_are_distinct(X, kept)):
        return DistinctRows(kept, weights if kept is None else weights.select(kept), None)
    kept = np.arange(X.shape[0]) if kept is None else kept
    firsts, numbers = (_sorted_by_value if is_small else _merged_by_hash)(X, kept)
    numbers_of_all = np.full(X.shape[0], -1)
    numbers_of_all[kept] = numbers
    return DistinctRows(kept[firsts], Weights(_sums(weights[kept], numbers)), numbers_of_all)


def _sums(weights, numbers):
    """Return the sum of the weights of every number, which does not depend on the order they come in."""
    order = np.argsort(weights)
    return np.bincount(numbers[order], weights[order])


def _sorted_by_value(X, kept):
    """Return where each distinct row among the kept ones comes first, in lexicographic order, and all rows' numbers.

    The rows are sorted by a few columns at a time. Only rows that tie so far go on to the next columns.
    """
    columns = X.tocsc() if issparse(X) else X
    order = np.arange(len(kept))
    is_new = order == 0  # where, in this order, a row differs from the one before
    start, width = 0, 1
    while start < X.shape[1]:
        tied = np.flatnonzero(~(is_new & np.append(is_new[1:], True)))
        if not len(tied):
            break
        block = rows_of(columns[:, start : start + width]).dense()[kept[order[tied]]]
        again = np.lexsort([*block.T[::-1], np.cumsum(is_new)[tied]])
        order[tied], block = order[tied][again], block[again]
        is_new[tied[1:]] |= (block[1:] != block[:-1]).any(axis=1)
        start, width = start + width, max(1, min(2 * width, _SMALL // 4 // X.shape[0]))
    numbers = np.empty_like(order)
    numbers[order] = np.cumsum(is_new) - 1
    return order[is_new], numbers


def _under_half_are_distinct(X, kept):
    """Return whether less than half of the kept rows, None for all, are distinct.

    Only the hashes in a share of their range are counted, unless that leaves a doubt: the rows with these are a random
    sample of the distinct ones.
    """
    n_rows = X.shape[0] if kept is None else len(kept)
    n_halvings = max(0, ceil(log2(n_rows / _COUNTED)))
    largest, counted = np.uint64(2 ** (64 - n_halvings) - 1), set()
    # The standard deviation of an estimate of half of the rows, by so many of them.
    deviation = np.sqrt(n_rows / 2 * (2**n_halvings - 1))
    for rows, hashes in _blocks_of_hashes(X):
        if kept is not None:
            first, last = np.searchsorted(kept, (rows.start, rows.stop))
            hashes = hashes[kept[first:last] - rows.start]
        counted.update(np.unique(hashes[hashes <= largest]).tolist())
        excess = len(counted) * 2**n_halvings - n_rows / 2
        if excess >= _BEYOND_DOUBT * deviation:
            return False
    if excess <= -_BEYOND_DOUBT * deviation:
        return True
    ordered = _hashes(X)
    ordered = ordered if kept is None else ordered[kept]
    ordered.sort()
    return 2 * (1 + np.count_nonzero(ordered[1:] != ordered[:-1])) < n_rows


def _merged_by_hash(X, kept):
    """Return where each distinct row among the kept ones comes first, in their order, and all rows' numbers."""
    _, firsts, numbers = np.unique(_hashes(X)[kept], return_index=True, return_inverse=True)
    equal_to = firsts[numbers]
    merged = np.flatnonzero(equal_to != np.arange(len(kept)))
    # Rows far apart in a file would be read again and again: other hashes stand for them.
    compared = _hashes(X, seed=1)[:, None] if isinstance(X, FileArray) else X
    for block in gen_batches(len(merged), _rows_a_block(X)):
        rows = merged[block]
        different = np.asarray((compared[kept[rows]] != compared[kept[equal_to[rows]]]).sum(axis=1)).ravel() > 0
        # Equal hashes of different rows are next to impossible. Such a row stays on its own.
        equal_to[rows[different]] = rows[different]
    return np.unique(equal_to, return_inverse=True)


def _rows_a_block(X):
    return max(1, _BLOCK_ENTRIES * X.shape[0] // max(1, X.size))


def _hashes(X, seed=0):
    """Return a hash of every row, (n_samples,) of uint64."""
    result = np.empty(X.shape[0], dtype=np.uint64)
    for rows, hashes in _blocks_of_hashes(X, seed):
        result[rows] = hashes
    return result


def _blocks_of_hashes(X, seed=0):
    """Yield slices of the rows, and their hashes: the sum over columns of mixed bits times a random number.

    Zeros add nothing, so that sparse and dense rows have the same hash.
    """
    factors = np.random.default_rng(seed).integers(2**63, size=X.shape[1], dtype=np.uint64) * 2 + 1
    for rows in gen_batches(X.shape[0], _rows_a_block(X)):
        block = X[rows]
        if issparse(block):
            bits = csr_array((_mixed_bits(block.data), block.indices, block.indptr), shape=block.shape)
        else:
            bits = _mixed_bits(block)
        yield rows, bits @ factors


def _mixed_bits(entries):
    """Return the bits of the entries, shuffled one to one: most floats end in zeros, which a product would keep."""
    bits = (entries.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    bits ^= bits >> 32
    bits *= 0x9E3779B97F4A7C15
    bits ^= bits >> 29
    return bits
