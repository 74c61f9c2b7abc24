"""Rows of X, a block at a time: neither a centred nor a dense copy of X as a whole is ever made."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils import gen_batches

from skae._files.array import FileArray
from skae._rows.factors import Dense, OffsetSparse

_BLOCK_ENTRIES = 2**19

# A permutation of more numbers takes memory.
_MANY_ROWS = 2**20

_EVERY = slice(None)


@dataclass(frozen=True, eq=False)
class RowBlocks(ABC):
    """Rows that are read a block at a time. What computes with the rows of a network's inputs needs no more than this.

    Parameters
    ----------
    X : {ndarray, CSR, FileArray} of shape (n_samples, n_features)
    """

    X: object

    @property
    def shape(self):
        return self.X.shape

    @property
    def dtype(self):
        return self.X.dtype

    def __len__(self):
        return self.X.shape[0]

    def take(self, rows):
        """Return the rows of a slice, or of an array of indices."""
        return type(self)(self.X[rows])

    def some(self, n_rows, rng):
        """Return increasing indices of so many rows at random, or of all."""
        total = len(self)
        chosen = rng.permutation(total)[:n_rows] if total <= _MANY_ROWS else rng.choice(total, n_rows, replace=False)
        return np.sort(chosen)

    def stretches(self, rng):
        """Yield arrays of increasing indices, of random parts of the rows that can be read in any order within."""
        yield np.arange(len(self), dtype=np.int32 if len(self) < 2**31 else np.int64)

    def blocks(self, axis=0):
        """Return the slices of X along an axis that are worked on one at a time."""
        length = self.shape[axis]
        size = max(16, _BLOCK_ENTRIES * length // np.prod(self.shape))
        return list(gen_batches(length, size)) if axis else self.cut(size)

    def cut(self, size):
        """Return the slices in which all rows are read, of at most so many rows, or of those drawn together."""
        return list(gen_batches(len(self), size))

    @abstractmethod
    def sum(self, part, threads, axis=0):
        """Return the sum, in float64, of `part`, a function of a slice along an axis, over all blocks.

        Everything that needs all rows is such a sum. Rows that are elsewhere take the function there: what it uses is
        these rows, their weights and `values`, and what can be pickled.
        """

    @abstractmethod
    def dense(self, rows=_EVERY, scratch=None):
        """Return a slice of the rows as an ndarray, not to be written to: a view, or in the first rows of `scratch`."""

    @abstractmethod
    def centred_by(self, offset, rows=_EVERY, scratch=None):
        """Return a slice of the rows less an offset, (n_features,) in X's dtype, as a left factor of products.

        It is valid until `scratch`, of shape (n_rows, n_features), is used again.
        """

    @abstractmethod
    def weighted_sum(self, rows, weights):
        """Return the weighted sum, (n_features,) in float64, of a slice of the rows."""

    @abstractmethod
    def weighted_squares(self, rows, weights, mean):
        """Return the weighted sum, (n_features,) in float64, of a slice's squared deviations from a mean."""

    @abstractmethod
    def extremes(self):
        """Return each column's minimum and maximum, (n_features,) each."""


class Rows(RowBlocks):
    """The rows of X. A subclass says how they are held, and all that computes with rows goes through this interface.

    Attributes
    ----------
    are_at_hand : bool
        Whether X is an array in memory, of which single rows are read as fast as blocks.
    """

    are_at_hand: ClassVar[bool] = True

    def pieces(self, rows):
        """Return the pieces that have a slice of the rows: a key of each, its Rows, and the slice that it has."""
        return [((), self, slice(*rows.indices(len(self))[:2]))]

    def sum(self, part, threads, axis=0, read=None):
        """Return the sum, in float64, of `part` over all blocks: those of `read`, RowBlocks that read these rows."""
        blocks = (self if read is None else read).blocks(axis)

        def add(blocks_of_thread):
            total = np.float64(0)
            # Callers check for an overflow, which is infinite.
            with np.errstate(over="ignore", invalid="ignore"):
                for block in blocks_of_thread:
                    total += part(block)
            return total

        return sum(threads.map(add, shared_out(blocks, min(threads.n_threads, len(blocks)))))

    def where(self, part, threads):
        """Return the increasing indices of the rows at which `part`, a function of a slice, gives a mask that is true.

        The function is as in `sum`.
        """

        def numbers(block):
            with np.errstate(over="ignore", invalid="ignore"):
                return block.start + np.flatnonzero(part(block))

        return np.concatenate([*threads.map(numbers, self.blocks())])

    def extremes_of(self, read):
        """Return the extremes of RowBlocks that read these rows a block at a time."""
        low, high = zip(*(read.read(block).extremes() for block in read.blocks()), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def values(self, function):
        """Return a number a row, those of function(rows, slice) of these rows, block by block."""
        return np.concatenate([function(self, block) for block in self.blocks()])

    @property
    def n_fetched(self):
        """How many rows are fetched to this process to be read again and again; None: all are here."""
        return None

    def objective_over(self, objective_class):
        """Return the class of an objective over these rows, given the one of an objective over rows in this process."""
        return objective_class

    @abstractmethod
    def dense_columns(self, columns):
        """Return a slice of the columns as an ndarray."""

    @abstractmethod
    def squared_deviations(self, centre, rows=_EVERY, scratch=None):
        """Return the squares of a slice of the rows less a centre as a left factor of products, as `centred_by` does.

        The centre is (n_features,) in X's dtype.
        """

    def weighted_counts(self, rows, weights):
        """Return the weighted numbers, (n_features,), of entries other than zero in a slice of the rows."""
        return weights @ (self.X[rows] != 0)

    @abstractmethod
    def combine(self, coefficients, mean, threads):
        """Return (X - mean)^T coefficients, (n_features, n_columns), in float64."""

    def second_moment_product(self, shares, mean, threads):
        """Return the function that multiplies a vector by a second moment, and whether that is the covariance matrix.

        If not, it is the matrix of the inner products of the weighted rows. `shares` are the rows' weights.
        """

        def product(vector):
            def part(rows):
                deviations = self.dense(rows) - mean
                return (shares[rows] * (deviations @ vector)) @ deviations

            return self.sum(part, threads)

        return product, True

    @property
    def n_read_once(self):
        """Cost of reading all rows, wherever they are, in that of reading one dense entry."""
        return self.n_read

    @property
    @abstractmethod
    def n_read(self):
        """Cost of a product with a vector, in that of reading one dense entry."""


class DenseRows(Rows):
    """Rows of an ndarray."""

    def dense(self, rows=_EVERY, scratch=None):
        return self.X[rows]

    def centred_by(self, offset, rows=_EVERY, scratch=None):
        block = self.dense(rows, scratch)
        if not offset.any():
            return Dense(block)
        return Dense(np.subtract(block, offset, out=None if scratch is None else scratch[: len(block)]))

    def dense_columns(self, columns):
        return self.X[:, columns]

    def squared_deviations(self, centre, rows=_EVERY, scratch=None):
        block = self.dense(rows, scratch)
        out = None if scratch is None else scratch[: len(block)]
        deviations = np.subtract(block, centre, out=out)
        return Dense(np.square(deviations, out=deviations))

    def weighted_sum(self, rows, weights):
        return weights @ self.X[rows].astype(np.float64)

    def weighted_squares(self, rows, weights, mean):
        deviations = self.X[rows] - mean
        return weights @ np.square(deviations, out=deviations)

    def extremes(self):
        return self.X.min(axis=0), self.X.max(axis=0)

    def combine(self, coefficients, mean, threads):
        result = np.empty((self.shape[1], coefficients.shape[1]))

        def fill(columns):
            np.matmul((self.X[:, columns] - mean[columns]).T, coefficients, out=result[columns])

        list(threads.map(fill, self.blocks(axis=1)))
        return result

    @property
    def n_read(self):
        return self.shape[0] * self.shape[1]


class SparseRows(Rows):
    """Rows of a CSR array in canonical format."""

    def dense(self, rows=_EVERY, scratch=None):
        block = self.X[rows]
        return block.toarray(out=None if scratch is None else scratch[: block.shape[0]])

    def centred_by(self, offset, rows=_EVERY, scratch=None):
        return OffsetSparse(self.X[rows], offset)

    def dense_columns(self, columns):
        return self.X[:, columns].toarray()

    def squared_deviations(self, centre, rows=_EVERY, scratch=None):
        # x^2 - 2 x c is zero where x is, and lacks c^2.
        block = self.X[rows]
        data = block.data * (block.data - 2 * centre[block.indices])
        return OffsetSparse(csr_array((data, block.indices, block.indptr), shape=block.shape), -np.square(centre))

    def weighted_sum(self, rows, weights):
        return weights @ self.X[rows].astype(np.float64)

    def weighted_squares(self, rows, weights, mean):
        block = self.X[rows]
        of_entries, columns = np.repeat(weights, np.diff(block.indptr)), block.indices
        sums = [
            np.bincount(columns, entries, minlength=len(mean))
            for entries in (of_entries * (block.data - mean[columns]) ** 2, of_entries)
        ]
        of_zeros = np.where(np.bincount(columns, minlength=len(mean)) < block.shape[0], weights.sum() - sums[1], 0)
        return sums[0] + of_zeros * mean**2

    def extremes(self):
        return self.X.min(axis=0).toarray().ravel(), self.X.max(axis=0).toarray().ravel()

    def combine(self, coefficients, mean, threads):
        return self.X.T @ coefficients - np.multiply.outer(mean, coefficients.sum(axis=0))

    def second_moment_product(self, shares, mean, threads):
        X, roots = self.X.astype(np.float64, copy=False), np.sqrt(shares[:])

        def times(vector):
            return roots * (X @ vector - mean @ vector)

        def transposed_times(vector):
            weighted = roots * vector
            return X.T @ weighted - mean * weighted.sum()

        # Vectors of the smaller side are worth it where a product costs little more than they do.
        if self.shape[0] >= self.shape[1]:
            return lambda vector: transposed_times(times(vector)), True
        return lambda vector: times(transposed_times(vector)), False

    @property
    def n_read(self):
        return 3 * (self.X.nnz + sum(self.shape))


class FileRows(DenseRows):
    """Rows of a FileArray. Whatever needs all of them makes one pass, a block in memory at a time."""

    are_at_hand = False

    def take(self, rows):
        return rows_of(self.X[rows])

    def stretches(self, rng):
        return self.X.some_pages(rng)

    def dense(self, rows=_EVERY, scratch=None):
        return self.X.read(rows, scratch)

    def dense_columns(self, columns):
        result = np.empty((len(self), columns.stop - columns.start), self.dtype)
        for block in self.blocks():
            result[block] = self.X[block][:, columns]
        return result

    def read(self, rows):
        """Return the Rows of a slice, in memory."""
        return rows_of(self.X[rows])

    def extremes(self):
        return self.extremes_of(self)

    def combine(self, coefficients, mean, threads):
        return self.sum(lambda block: (self.X[block] - mean).T @ coefficients[block], threads)


def shared_out(blocks, n_threads, rows_of_block=lambda block: block):
    """Return lists of the blocks with about as many rows for each of so many threads.

    `rows_of_block` returns the slice of a block that is no slice itself.
    """
    lists, lengths = [[] for _ in range(n_threads)], [0] * n_threads
    for block in blocks:
        thread = lengths.index(min(lengths))
        lists[thread].append(block)
        rows = rows_of_block(block)
        lengths[thread] += rows.stop - rows.start
    return lists


def rows_of(X):
    """Return the Rows of X, an ndarray, CSR or FileArray."""
    if issparse(X):
        return SparseRows(X)
    return FileRows(X) if isinstance(X, FileArray) else DenseRows(X)
