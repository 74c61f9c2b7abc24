"""Dask collections: their chunks of rows, on the workers or in a lazy computation."""

from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import distributed
import numpy as np
from scipy.sparse import csr_array, issparse

from skae._cluster.parts import Part, Places, load, part_of
from skae._cluster.rows import RemoteRows, RemoteWeights, Workers, await_all, results_of
from skae._compat import is_pandas_frame


def client_of(client):
    """Return the client that is given, or the one of this process."""
    if client is not None:
        return client
    try:
        return distributed.get_client()
    except ValueError:
        raise ValueError(
            "There is no client of a Dask cluster. Make one, as with client = distributed.Client(), which starts "
            "workers on this machine, or give client=..."
        ) from None


def is_frame(X):
    """Return whether X is a Dask data frame."""
    return dask.is_dask_collection(X) and is_pandas_frame(X)


def checked(X):
    """Return X, a Dask array of two dimensions in chunks of whole rows, or a Dask data frame.

    Raises TypeError if it is neither, and ValueError if it is an array that cannot be cut so.
    """
    if is_frame(X):
        return X
    if not isinstance(X, da.Array):
        raise TypeError(
            f"X must be a Dask array or a Dask data frame, but is a {type(X).__name__}. Make one with "
            "dask.array.from_array or dask.dataframe.from_pandas, or use the methods of the estimator itself."
        )
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got a Dask array of {X.ndim} dimensions: {X!r}.")
    if X.shape[1] == 0 or np.isnan(X.shape[1]):
        raise ValueError(f"X must have a known number of columns, at least 1, but its shape is {X.shape}.")
    if X.numblocks[1] == 1:
        return X
    if np.isnan(X.shape[0]):
        raise ValueError(
            "X has several chunks along the columns, and chunks of unknown length along the rows. Call "
            "X.compute_chunk_sizes(), or make X with whole rows in every chunk."
        )
    return X.rechunk({1: -1})


def checked_weights(sample_weight, X):
    """Return the weights, a Dask array of one dimension, in the chunks of X."""
    if not dask.is_dask_collection(sample_weight):
        raise TypeError(
            f"sample_weight must be a Dask array or a Dask series, but is a {type(sample_weight).__name__}. Make one "
            "with dask.array.from_array(sample_weight, chunks=X.chunks[0])."
        )
    weights = sample_weight if isinstance(sample_weight, da.Array) else sample_weight.to_dask_array()
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must have one dimension, but its shape is {weights.shape}.")
    if not (is_frame(X) or np.isnan(X.shape[0]) or np.isnan(weights.shape[0])):
        if weights.shape[0] != X.shape[0]:
            raise ValueError(f"sample_weight has {weights.shape[0]} entries, but X has {X.shape[0]} rows.")
        return weights.rechunk((X.chunks[0],))
    n_chunks = X.npartitions if is_frame(X) else X.numblocks[0]
    if weights.numblocks[0] != n_chunks:
        raise ValueError(
            f"X has {n_chunks} chunks of rows, but sample_weight has {weights.numblocks[0]}, and the lengths of some "
            "are unknown. Give both the same chunks, or call compute_chunk_sizes() on arrays."
        )
    return weights


def example_of(X):
    """Return a row of zeros of the type, the dtype and the columns of X."""
    if is_frame(X):
        return X._meta_nonempty.iloc[:1]
    if issparse(X._meta):
        return csr_array((1, X.shape[1]), dtype=X.dtype)
    return np.zeros((1, X.shape[1]), dtype=X.dtype)


def chunks_of(X):
    """Return the chunks of a checked collection, a list of Delayed."""
    return list(np.ravel(X.to_delayed()))


def loaded(client, X, sample_weight, estimator, loss):
    """Return the Loaded rows of a checked collection and its weights, or None.

    The chunks are computed, if they are not yet, and kept where they are. `estimator` validates them.
    """
    example = estimator._validated(example_of(X), reset=False)
    chunks = chunks_of(X)
    weights = [None] * len(chunks) if sample_weight is None else chunks_of(sample_weight)
    make = dask.delayed(load, pure=False)
    blocks = client.compute(
        [make(chunk, own, estimator, loss, example.dtype) for chunk, own in zip(chunks, weights, strict=True)]
    )
    summaries = results_of(client, [client.submit(_summary, block, pure=False) for block in blocks])
    n_given, counts, largest = map(list, zip(*summaries, strict=True))
    if not sum(n_given):
        raise ValueError(
            f"Found array with 0 sample(s) (shape=(0, {example.shape[1]})) while a minimum of 1 is required by "
            "DaskAutoencoder."
        )
    if not sum(counts):
        raise ValueError("sample_weight has only zeros: at least one row needs a positive weight.")
    return Loaded(client, blocks, n_given, counts, int(np.frexp(max(largest))[1]), example[:0])


def _summary(block):
    return block.summary


@dataclass(frozen=True, eq=False)
class Loaded:
    """The rows of a collection, in Blocks in the memory of workers.

    Parameters
    ----------
    client : distributed.Client

    blocks : list of Future

    n_given, counts : list of int
        Rows of each chunk, and of its block.

    exponent : int
        Of the largest weight.

    meta : {ndarray, CSR} of shape (0, n_features)
        Of the type and dtype of the rows.
    """

    client: Any
    blocks: list
    n_given: list
    counts: list
    exponent: int
    meta: Any

    def __len__(self):
        return sum(self.counts)

    @property
    def n_samples(self):
        """Number of rows of the collection."""
        return sum(self.n_given)

    def rows(self, draw=None, are_held_out=False):
        """Return the RemoteRows that a HeldOutDraw leaves, or those that it holds out, with their RemoteWeights.

        Without a draw they are all rows. The workers draw for themselves.
        """
        numbers, counts = np.cumsum([0, *self.counts]).tolist(), self.counts
        if draw is not None:
            masks = draw.masks(zip(numbers[:-1], self.counts, strict=True))
            counts = [int(np.count_nonzero(mask == are_held_out)) for mask in masks]
        starts, firsts = (np.cumsum([0, *lengths]).tolist() for lengths in (self.n_given, counts))
        futures, places, addresses = [], [], []
        for address, own in self._numbers_by_worker(counts).items():
            places.append(Places(_some(firsts, own), _some(counts, own)))
            given = _some(self.blocks, own), _some(starts, own), places[-1], self.exponent
            drawn = () if draw is None else (draw, _some(numbers, own), are_held_out)
            options = {"workers": [address], "allow_other_workers": True, "pure": False}
            futures.append(self.client.submit(part_of if drawn else Part, *given, *drawn, **options))
            addresses.append(address)
        rows = RemoteRows(Workers(self.client, futures, addresses), places, self.meta)
        return rows, RemoteWeights(rows)

    def _numbers_by_worker(self, counts):
        """Return the numbers of the blocks that have rows, by the address of a worker that holds them."""
        await_all(self.client, self.blocks)  # those of a worker that has died are made again
        holders, every, numbers_of = self.client.who_has(self.blocks), [*self.client.nthreads()], {}
        for number, block in enumerate(self.blocks):
            if counts[number]:
                address = min(holders[block.key] or every, key=lambda holder: (len(numbers_of.get(holder, [])), holder))
                numbers_of.setdefault(address, []).append(number)
        return numbers_of


def _some(values, numbers):
    return [values[number] for number in numbers]
