"""Autoencoders on Dask collections: the rows stay in the memory of a cluster's workers, the model comes to the client.

Needs the extra: ``pip install "skae[dask]"``.
"""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

try:
    import distributed

    from skae._cluster.collections import checked, checked_weights, example_of, loaded
    from skae._cluster.lazy import checked_r2_sums_of, mapped, r2_sums_of, squared_error_of, summed
except ImportError as error:
    raise ImportError('skae.dask needs Dask. Install it with: pip install "skae[dask]"') from error

from skae._compat import InvalidParameterError
from skae._estimators.base import BaseAutoencoder
from skae._estimators.denoising import DenoisingAutoencoder
from skae.losses._choice import AUTO, loss_for

__all__ = ["DaskAutoencoder", "neg_reconstruction_error", "reconstruction_r2"]


class DaskAutoencoder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Fits an autoencoder to rows in the memory of a Dask cluster's workers.

    Value and gradient of the objective are sums over rows. Every evaluation sends the parameters to the workers, and
    their sums come back: the rows stay where they are, and the result is that of a fit in memory.

    Parameters
    ----------
    estimator : AutoencoderTransformer, SparseAutoencoder or ContractiveAutoencoder
        The autoencoder. It is cloned. `warm_start`, `n_jobs`, callbacks and `loss="auto"` are for fits in memory, and
        refused.

    client : distributed.Client, default=None
        The cluster. None: the client of this process, or of the task that this runs in. It is not pickled.

    Attributes
    ----------
    estimator_ : AutoencoderTransformer, SparseAutoencoder or ContractiveAutoencoder
        The fitted autoencoder, with no trace of the cluster.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of a data frame, if all are strings.

    See Also
    --------
    skae.AutoencoderTransformer : The plain autoencoder.

    Notes
    -----
    Equal rows are merged only if they are in one chunk. The chunks of a worker are one part of every sum. The start of
    the solver "kfac", which takes steps on minibatches, works on rows that are fetched to the client: at most 2^21
    entries, chosen at random by their numbers. The first entries of `loss_curve_` are of these rows, then. The second
    moments for "lbfgs" are of at most 4096 fetched rows. Nothing else that grows with the number of rows comes to the
    client but the numbers of outliers, if there are any.

    A worker that dies costs the time to make its chunks again. If all are gone, `fit` raises RuntimeError after a
    minute, and is as before the call.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.dask import DaskAutoencoder
    >>> client = Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0")
    >>> X = da.from_array(load_digits().data / 16, chunks=(500, 64))
    >>> autoencoder = DaskAutoencoder(AutoencoderTransformer(10, random_state=0), client).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes.chunks
    ((500, 500, 500, 297), (10,))
    >>> autoencoder.to_local().solver_
    'varpro'
    >>> client.close()
    """

    def __init__(self, estimator: BaseAutoencoder, client: Any = None):
        self.estimator = estimator
        self.client = client

    def __sklearn_clone__(self):
        return type(self)(clone(self.estimator), self.client)

    def __getstate__(self):
        return dict(super().__getstate__(), client=None)

    @property
    def n_features_in_(self):
        return self._fitted().n_features_in_

    @property
    def feature_names_in_(self):
        return self._fitted().feature_names_in_

    def to_local(self) -> BaseAutoencoder:
        """Return a copy of the fitted autoencoder.

        Returns
        -------
        AutoencoderTransformer, SparseAutoencoder or ContractiveAutoencoder
            For arrays and data frames in memory.
        """
        return deepcopy(self._fitted())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the codes.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only there for API consistency.

        Returns
        -------
        ndarray of str
            The lower-case name of the autoencoder's class, and a number.
        """
        return self._fitted().get_feature_names_out(input_features)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_features)
            Training data. It is computed, if it is not yet, and its chunks stay with the workers during the fit. Their
            lengths need not be known. Chunks of part of the columns are merged first. Chunks may be CSR.

        y : None
            Ignored.

        sample_weight : Dask array or series of shape (n_samples,), default=None
            Weights of the rows, in the chunks of X if any lengths are unknown. If None, all rows have the same weight.

        Returns
        -------
        self : object
            After an error or an interrupt it is as it was before the call.

        Raises
        ------
        TypeError
            If X or the weights are not Dask collections.

        ValueError
            If a parameter, X or the weights are out of their domain, a parameter is for fits in memory alone, or there
            is no client.

        RuntimeError
            If the cluster has no workers left.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            As `fit` of the autoencoder.

        UserWarning
            As `fit` of the autoencoder.
        """
        self._check_estimator()
        self.estimator_ = self._fitted_to(X, sample_weight)
        return self

    def _fitted_to(self, X, sample_weight):
        """Return the fitted autoencoder."""
        client, X = _client(self.client), checked(X)
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, X)
        estimator, example = clone(self.estimator), example_of(X)
        estimator._validate_params()
        estimator._validated(example, reset=True)
        loss = loss_for(estimator.loss, estimator.output_activation, example, None, None)
        vars(estimator).update(estimator._fit_loaded(loaded(client, X, sample_weight, estimator, loss), loss))
        return estimator

    def transform(self, X: Any) -> Any:
        """Encode X, lazily.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Dask array or data frame of shape (n_samples, n_components_)
            The codes; a frame if `set_output` of the autoencoder asks for pandas.

        Raises
        ------
        TypeError
            If X is not a Dask collection.

        ValueError
            If X has not the features that the autoencoder was fitted with. Errors about its entries come with the
            computation.
        """
        return self._mapped(X, "transform", self.get_feature_names_out())

    def inverse_transform(self, X: Any) -> Any:
        """Decode codes, lazily.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_components_)
            Codes.

        Returns
        -------
        Dask array or data frame of shape (n_samples, n_features)
            The reconstructions; a frame if `set_output` of the autoencoder asks for pandas.

        Raises
        ------
        TypeError
            If X is not a Dask collection.

        ValueError
            If X has not as many columns as the code.
        """
        estimator, X = self._fitted(), checked(X)
        estimator.inverse_transform(example_of(X))  # which refuses other columns
        return mapped(X, estimator, "inverse_transform", self._features(), self._dtype(X))

    def reconstruct(self, X: Any) -> Any:
        """Encode and decode X, lazily.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        Dask array or data frame of shape (n_samples, n_features)
            The result of `inverse_transform(transform(X))`.

        Raises
        ------
        TypeError
            If X is not a Dask collection.

        ValueError
            If X has not the features that the autoencoder was fitted with.
        """
        return self._mapped(X, "reconstruct", self._features())

    def score_samples(self, X: Any) -> Any:
        """Return minus each row's reconstruction loss, lazily: the lower, the more anomalous.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        Dask array of shape (n_samples,)
            As `score_samples` of the autoencoder.

        Raises
        ------
        TypeError
            If X is not a Dask collection.

        ValueError
            If X has not the features that the autoencoder was fitted with.
        """
        return self._mapped(X, "score_samples", None)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the share of the variance of X that its reconstruction explains, by one pass over X.

        Parameters
        ----------
        X : Dask array or data frame of shape (n_samples, n_features)
            Rows to score.

        y : None
            Ignored.

        sample_weight : Dask array or series of shape (n_samples,), default=None
            Weights of the rows; None: equal.

        Returns
        -------
        float
            As `score` of the autoencoder.

        Raises
        ------
        TypeError
            If X or the weights are not Dask collections.

        ValueError
            If X is not finite, has not the features that the autoencoder was fitted with, or is outside the domain of
            the loss.
        """
        estimator = self._fitted()
        sums = _summed(_client(self.client), checked_r2_sums_of, estimator, X, sample_weight)
        return sums.r2(np.finfo(estimator._validated(example_of(X), reset=False).dtype).eps)

    def _fitted(self):
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def _features(self):
        estimator = self._fitted()
        default = [f"x{number}" for number in range(estimator.n_features_in_)]
        return getattr(estimator, "feature_names_in_", default)

    def _mapped(self, X, method, names):
        X = checked(X)
        self._fitted()._validated(example_of(X), reset=False)
        return mapped(X, self.estimator_, method, names, self._dtype(X))

    def _dtype(self, X):
        dtype = np.result_type(*X.dtypes) if hasattr(X, "dtypes") else X.dtype
        return np.result_type(np.float32 if dtype == np.float32 else np.float64, self.estimator_.mean_)

    def _check_estimator(self):
        estimator, name = self.estimator, type(self).__name__
        if isinstance(estimator, type) or not isinstance(estimator, BaseAutoencoder):
            raise InvalidParameterError(
                f"The 'estimator' parameter of {name} must be an autoencoder of skae. Got {estimator!r} instead."
            )
        refusals = [
            (
                isinstance(estimator, DenoisingAutoencoder),
                "corruption",
                "its noise is for rows in memory: fit a DenoisingAutoencoder to a sample of X",
            ),
            (
                estimator.init == "stacked",
                "init='stacked'",
                "its layers are trained on codes in memory: choose 'glorot' or 'pca'",
            ),
            (estimator.warm_start, "warm_start", "every fit on a cluster starts afresh: set warm_start=False"),
            (
                estimator.n_jobs not in (None, 1),
                "n_jobs",
                "each of the restarts has the whole cluster: set n_jobs=None",
            ),
            (
                isinstance(estimator.loss, str) and estimator.loss == AUTO,
                f"loss={AUTO!r}",
                "it looks at all values of a column: give the losses, as ColumnLosses(...)",
            ),
            (
                bool(getattr(estimator, "_skl_callbacks", None)),
                "callbacks",
                "they would be given X, which is on the workers: set none",
            ),
        ]
        for applies, what, cure in refusals:
            if applies:
                raise ValueError(f"{name} does not take {what} of {type(estimator).__name__}: {cure}.")


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
    return _summed(client, r2_sums_of, fitted, X, sample_weight).r2(precision)


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
    total, weight = _summed(client, squared_error_of, fitted, X, sample_weight)
    return -float(total / weight)


def _parts(estimator, client):
    """Return the client, and the estimator for chunks."""
    if isinstance(estimator, DaskAutoencoder):
        return _client(client or estimator.client), estimator._fitted()
    return _client(client), estimator


def _client(client):
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


def _summed(client, function, fitted, X, sample_weight):
    X = checked(X)
    weights = None if sample_weight is None else checked_weights(sample_weight, X)
    return summed(client, function, X, weights, fitted)
