"""Methods of a fitted estimator on the chunks of a Dask collection: lazily, or as one sum."""

from copy import copy

import dask
import numpy as np
from scipy.sparse import issparse

from skae import metrics
from skae._cluster.collections import checked, checked_weights, chunks_of, is_frame
from skae._cluster.rows import results_of
from skae._compat import check_sample_weight, output_container
from skae._validation import drop_weightless, validated_rows
from skae._weights import Weights

# Sums of chunks that are added up in one task.
_FAN_IN = 8


def mapped(X, estimator, method, names=None, dtype=np.float64):
    """Return the results of a method of an estimator on the chunks of a checked collection.

    Parameters
    ----------
    X : Dask array or data frame of shape (n_samples, n_columns)

    estimator : BaseAutoencoder

    method : str
        A method of one argument.

    names : array of str, default=None
        The columns of the result; None: it has one dimension.

    dtype : dtype, default=float64
        Of the result.

    Returns
    -------
    Dask array, or Dask data frame if `set_output` asks for pandas
    """
    container = output_container(estimator)
    if names is None or container == "default":
        values = _mapped_array(X.to_dask_array() if is_frame(X) else X, estimator, method, names, dtype)
        return values[:, 0] if names is None else values
    if container != "pandas":
        raise ValueError(f"set_output(transform={container!r}) has no Dask counterpart: choose 'pandas' or 'default'.")
    import dask.dataframe as dd
    import pandas as pd

    if not is_frame(X):
        return dd.from_dask_array(_mapped_array(X, estimator, method, names, dtype), columns=list(names))
    meta = pd.DataFrame(np.empty((0, len(names)), dtype), columns=list(names), index=X._meta.index)
    return X.map_partitions(_on_partition, _nameless(estimator), method, list(names), dtype, meta=meta)


def _mapped_array(X, estimator, method, names, dtype):
    width = 1 if names is None else len(names)
    shape = {"chunks": (X.chunks[0], (width,)), "dtype": dtype, "meta": np.empty((0, 0), dtype)}
    return X.map_blocks(_on_chunk, dask.delayed(_nameless(estimator)), method, width, dtype, **shape)


def _on_chunk(chunk, estimator, method, width, dtype):
    if not chunk.shape[0]:
        return np.empty((0, width), dtype)
    return getattr(estimator, method)(chunk).astype(dtype, copy=False).reshape(-1, width)


def _on_partition(partition, estimator, method, names, dtype):
    import pandas as pd

    values = _on_chunk(partition.to_numpy(), estimator, method, len(names), dtype)
    return pd.DataFrame(values, columns=names, index=partition.index)


def _nameless(estimator):
    """Return the estimator for bare arrays: the names of the features have been checked already."""
    nameless = copy(estimator)
    for name in ("feature_names_in_", "_sklearn_output_config"):  # the second one would be changed in the original, too
        vars(nameless).pop(name, None)
    return nameless.set_output(transform="default")


def summed(client, function, X, sample_weight, *arguments):
    """Return the sum of the results of function(chunk, weights, *arguments) over the chunks of a collection.

    Chunks without rows of positive weight count for nothing. ValueError if all are so.
    """
    X = checked(X)
    chunks = chunks_of(X)
    weights = [None] * len(chunks) if sample_weight is None else chunks_of(checked_weights(sample_weight, X))
    of_chunk, arguments = dask.delayed(_of_chunk, pure=False), [dask.delayed(part) for part in arguments]
    results = [of_chunk(function, *pair, *arguments) for pair in zip(chunks, weights, strict=True)]
    while len(results) > 1:
        groups = [results[first : first + _FAN_IN] for first in range(0, len(results), _FAN_IN)]
        results = [dask.delayed(_added, pure=False)(group) for group in groups]
    result = results_of(client, [client.compute(results[0])])[0]
    if result is None:
        raise ValueError("X has no row of positive weight.")
    return result


def _of_chunk(function, chunk, sample_weight, *arguments):
    if not chunk.shape[0] or (sample_weight is not None and not np.any(sample_weight)):
        return None
    return function(chunk, sample_weight, *arguments)


def _added(results):
    counted = [result for result in results if result is not None]
    return sum(counted[1:], start=counted[0]) if counted else None


def r2_sums_of(chunk, sample_weight, fitted):
    """Return the ReconstructionSums of a chunk by a fitted transformer."""
    weights, X, reconstruct = _scored(chunk, sample_weight, fitted)
    return metrics.r2_sums(X, reconstruct, weights)


def checked_r2_sums_of(chunk, sample_weight, estimator):
    """Return the same by an autoencoder, which refuses rows outside the domain of its loss."""
    estimator._validated_target(chunk)
    return r2_sums_of(chunk, sample_weight, estimator)


def squared_error_of(chunk, sample_weight, fitted):
    """Return the weighted sum of a chunk's squared errors by a fitted transformer, and the sum of the weights."""
    weights, X, reconstruct = _scored(chunk, sample_weight, fitted)
    return np.array([metrics.squared_error(X, reconstruct, weights), weights.sum()])


def _scored(chunk, sample_weight, fitted):
    X = validated_rows(chunk)
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    weights, X, given = drop_weightless(Weights(weights), X, X if issparse(X) else chunk)
    return weights, X, metrics.reconstruction_by(fitted, given)
