"""Scores of transformers on Dask collections, each by one pass."""

from typing import Any

import numpy as np

from skae._cluster.collections import checked, client_of
from skae._cluster.lazy import r2_sums_of, squared_error_of, summed
from skae.dask._autoencoder import DaskAutoencoder


def reconstruction_r2(estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, client: Any = None) -> float:
    """Return the share of the variance of X that the estimator's reconstruction explains, by one pass over X.

    `skae.metrics.reconstruction_r2` for Dask collections.

    Parameters
    ----------
    estimator : object
        Fitted transformer with `inverse_transform`, or Pipeline of such, for arrays in memory; or a DaskAutoencoder.

    X : Dask array or data frame of shape (n_samples, n_features)
        Rows to reconstruct.

    y : None
        Ignored.

    sample_weight : Dask array or series of shape (n_samples,), default=None
        Weights of the rows; None: equal.

    client : distributed.Client, default=None
        The cluster. None: that of a DaskAutoencoder, or the client of this process.

    Returns
    -------
    float
        1.0 is perfect, 0.0 is as good as the mean of the scored rows.

    Raises
    ------
    TypeError
        If X or the weights are not Dask collections.

    ValueError
        If X is not finite, or the weights do not match it.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.dask import reconstruction_r2
    >>> X = load_iris().data
    >>> pca = PCA(n_components=2).fit(X)
    >>> client = Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0")
    >>> share = reconstruction_r2(pca, da.from_array(X, chunks=(50, 4)))
    >>> round(share, 6) == round(pca.explained_variance_ratio_.sum(), 6)
    np.True_
    >>> client.close()
    """
    client, fitted = _parts(estimator, client)
    X = checked(X)
    dtype = X.dtype if hasattr(X, "dtype") else np.result_type(*X.dtypes)
    precision = np.finfo(dtype if dtype == np.float32 else np.float64).eps
    return summed(client, r2_sums_of, X, sample_weight, fitted).r2(precision)


def neg_reconstruction_error(
    estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, client: Any = None
) -> float:
    """Return the negative mean of the squared reconstruction errors of the rows, by one pass over X.

    `skae.metrics.neg_reconstruction_error` for Dask collections.

    Parameters
    ----------
    estimator : object
        Fitted transformer with `inverse_transform`, or Pipeline of such, for arrays in memory; or a DaskAutoencoder.

    X : Dask array or data frame of shape (n_samples, n_features)
        Rows to reconstruct.

    y : None
        Ignored.

    sample_weight : Dask array or series of shape (n_samples,), default=None
        Weights of the rows; None: equal.

    client : distributed.Client, default=None
        The cluster. None: that of a DaskAutoencoder, or the client of this process.

    Returns
    -------
    float
        At most 0.0, in the squared unit of X. Larger is better.

    Raises
    ------
    TypeError
        If X or the weights are not Dask collections.

    ValueError
        If X is not finite, or the weights do not match it.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.dask import neg_reconstruction_error
    >>> X = load_iris().data
    >>> pca = PCA(n_components=2).fit(X)
    >>> client = Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0")
    >>> print(round(neg_reconstruction_error(pca, da.from_array(X, chunks=(50, 4))), 3))
    -0.101
    >>> client.close()
    """
    client, fitted = _parts(estimator, client)
    total, weight = summed(client, squared_error_of, X, sample_weight, fitted)
    return -float(total / weight)


def _parts(estimator, client):
    """Return the client, and the estimator for chunks."""
    if isinstance(estimator, DaskAutoencoder):
        return client_of(client or estimator.client), estimator._fitted()
    return client_of(client), estimator
