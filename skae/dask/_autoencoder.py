"""Fits to the rows of a Dask collection, and the methods of the result."""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skae._cluster.collections import checked, checked_weights, client_of, example_of, loaded
from skae._cluster.lazy import checked_r2_sums_of, mapped, summed
from skae._cluster.rescue import Rescue
from skae._cluster.rows import NoWorkersError
from skae._compat import InvalidParameterError
from skae._estimators.base import BaseAutoencoder
from skae.corruption import Corruption
from skae.losses._choice import AUTO, loss_for


class DaskAutoencoder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Fits an autoencoder to rows in the memory of a Dask cluster's workers.

    Value and gradient of the objective are sums over rows. Every evaluation sends the parameters to the workers, and
    their sums come back: the rows stay where they are, and the result is that of a fit in memory.

    Parameters
    ----------
    estimator : AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder
        The autoencoder. It is cloned. `n_jobs`, callbacks and `loss="auto"` are for fits in memory, and refused.

    client : distributed.Client, default=None
        The cluster. None: the client of this process, or of the task that this runs in. It is not pickled.

    Attributes
    ----------
    estimator_ : AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder
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
    the solver "kfac", which takes steps on minibatches, and `init="stacked"` work on rows that are fetched to the
    client: at most 2^21 entries, chosen at random by their numbers. The first entries of `loss_curve_` are of these
    rows, then. The second moments for "lbfgs" are of at most 4096 fetched rows. Nothing else that grows with the number
    of rows comes to the client but the numbers of outliers, if there are any.

    Noise is drawn by chunk, from `random_state` and the number of its first row in X. The corruption "swap" takes
    entries from fetched rows, at most 2^20 entries. Steps on minibatches with noise are the start of a search with
    L-BFGS.

    A worker that dies costs the time to make its chunks again. If all are gone, `fit` raises RuntimeError after a
    minute, and `estimator_` is the best iterate until then, whose `code_scale_` is of a sample of rows. With
    `warm_start` of the autoencoder another fit goes on from there.

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
        AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder
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
            After an error or an interrupt it is as it was before the call, unless the cluster has lost all workers.

        Raises
        ------
        TypeError
            If X or the weights are not Dask collections.

        ValueError
            If a parameter, X or the weights are out of their domain, a parameter is for fits in memory alone, or there
            is no client.

        RuntimeError
            If the cluster has no workers left. `estimator_` is the best iterate so far, if there was any.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            As `fit` of the autoencoder.

        UserWarning
            As `fit` of the autoencoder.
        """
        self._check_estimator()
        estimator, goes_on = self._to_fit()
        rescue = Rescue()
        try:
            self._fit(estimator, client_of(self.client), checked(X), sample_weight, rescue, goes_on)
        except NoWorkersError as error:
            raise self._rescued(estimator, rescue, error) from None
        self.estimator_ = estimator
        return self

    def _to_fit(self):
        """Return the autoencoder to fit, and whether it goes on from the last fit, whose attributes it has then."""
        estimator, last = clone(self.estimator), getattr(self, "estimator_", None)
        goes_on = estimator.warm_start and type(last) is type(estimator)
        if goes_on:
            vars(estimator).update({name: value for name, value in vars(last).items() if name not in vars(estimator)})
        return estimator, goes_on

    @staticmethod
    def _fit(estimator, client, X, sample_weight, task, goes_on):
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, X)
        example = example_of(X)
        estimator._validate_params()
        estimator._validated(example, reset=True)
        loss = loss_for(estimator.loss, estimator.output_activation, example, None, None)
        rows = loaded(client, X, sample_weight, estimator, loss)
        vars(estimator).update(estimator._fit_loaded(rows, loss, task, goes_on))

    def _rescued(self, estimator, rescue, error):
        """Keep the best iterate of a fit that has lost the cluster, if there is one; return the error to raise."""
        fitted = rescue.fitted(type(self).__name__)
        if fitted is None:
            return NoWorkersError(f"{error} Start workers, and fit again.")
        vars(estimator).update(fitted)
        self.estimator_ = estimator
        return NoWorkersError(
            f"{error} estimator_ is the best iterate of the {estimator.n_iter_} so far. Start workers; a fit with "
            "warm_start=True goes on from there."
        )

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
        sums = summed(client_of(self.client), checked_r2_sums_of, X, sample_weight, estimator)
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
                _prepares_itself(getattr(estimator, "corruption", None)),
                "corruption",
                "its method `prepare` would be given all rows, which are on the workers: leave that method out",
            ),
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


def _prepares_itself(corruption):
    """Return whether a corruption, or whatever an estimator has in its place, has a `prepare` that is not skae's."""
    return isinstance(corruption, Corruption) and not type(corruption).prepare.__module__.startswith("skae.")
