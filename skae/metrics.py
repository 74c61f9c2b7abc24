"""Scores for any fitted transformer that has `transform` and `inverse_transform`, and for any imputer.

`reconstruction_r2`, `neg_reconstruction_error`, `neg_imputation_error` and what `make_imputation_scorer` returns are
scorers for `GridSearchCV(scoring=...)`. All functions compare in the units of the given X, even if a Pipeline scales
it.
"""

from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skae._compat import in_container_of, some_rows
from skae._files.formats import in_blocks
from skae._imputation_error import ImputationScorer
from skae._reconstruction_sums import reconstruction_sums
from skae._rows.blocks import rows_of
from skae._scorer import Scorer
from skae._typing import MatrixLike
from skae._validation import drop_weightless, validated_rows, validated_weights

__all__ = [
    "feature_errors",
    "make_imputation_scorer",
    "neg_imputation_error",
    "neg_reconstruction_error",
    "reconstruction_r2",
]

_BLOCK_ENTRIES = 2**18


@Scorer
def reconstruction_r2(estimator: Any, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of the variance of X that the estimator's reconstruction explains.

    This is the variance-weighted R2 of `sklearn.metrics.r2_score` between X and
    `estimator.inverse_transform(estimator.transform(X))`. For `PCA` on its training data it is
    `explained_variance_ratio_.sum()`.

    Parameters
    ----------
    estimator : object
        Fitted estimator with `transform` and `inverse_transform`: a transformer or a Pipeline of transformers.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples to reconstruct.

    y : None
        Not used, present for API consistency by convention.

    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights. If None, samples are equally weighted. Under scikit-learn's metadata routing, a meta-estimator
        passes them to the scorer returned by `set_score_request(sample_weight=True)`.

    Returns
    -------
    float
        1.0 is perfect, 0.0 is as good as the mean of the scored rows. Constant columns, whose minimum equals their
        maximum, are ignored. If all columns are constant, the score is 1.0 for a reconstruction that is exact to
        rounding and 0.0 otherwise.

    Raises
    ------
    ValueError
        If X is not a finite 2D array, or `sample_weight` does not match it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.metrics import reconstruction_r2
    >>> X = load_iris().data
    >>> pca = PCA(n_components=2).fit(X)
    >>> round(reconstruction_r2(pca, X), 6) == round(pca.explained_variance_ratio_.sum(), 6)
    np.True_
    """
    weights, X, reconstruct = _scored(estimator, X, sample_weight)
    return r2(X, reconstruct, weights)


@Scorer
def neg_reconstruction_error(
    estimator: Any, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None
) -> float:
    """Return the negative mean over samples of the squared reconstruction error, summed over features.

    Parameters
    ----------
    estimator : object
        Fitted estimator with `transform` and `inverse_transform`: a transformer or a Pipeline of transformers.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples to reconstruct.

    y : None
        Not used, present for API consistency by convention.

    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights. If None, samples are equally weighted. Under scikit-learn's metadata routing, a meta-estimator
        passes them to the scorer returned by `set_score_request(sample_weight=True)`.

    Returns
    -------
    float
        At most 0.0, in the squared unit of X. Larger is better.

    Raises
    ------
    ValueError
        If X is not a finite 2D array, or `sample_weight` does not match it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.metrics import neg_reconstruction_error
    >>> X = load_iris().data
    >>> pca = PCA(n_components=2).fit(X)
    >>> print(round(neg_reconstruction_error(pca, X), 3))
    -0.101
    """
    weights, X, reconstruct = _scored(estimator, X, sample_weight)
    return -float(squared_error(X, reconstruct, weights) / weights.sum())


def neg_imputation_error(estimator: Any, X: MatrixLike, y: Any = None) -> float:
    """Return the negative error of an imputer on a tenth of the observed entries of X, which are hidden from it.

    All calls with the same X hide the same entries, so that the scores of several imputers compare.

    Parameters
    ----------
    estimator : object
        Fitted imputer, or Pipeline of such steps, whose `transform` returns the columns of X, in their units.

    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows with or without missing entries, which are NaN, None or pandas.NA.

    y : None
        Not used, present for API consistency by convention.

    Returns
    -------
    float
        At most 0.0; larger is better. It is minus the mean over the columns of the root mean squared error, divided by
        the standard deviation of the column's observed entries, for numbers, and of the share of wrong values for
        categories: booleans, strings, objects and pandas categoricals. The mean of a column scores about -1. Columns
        whose observed entries are all equal are left out.

    Raises
    ------
    ValueError
        If X has no column to score, or `transform` does not return its columns, or leaves entries missing.

    TypeError
        If X is sparse.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.impute import SimpleImputer
    >>> from skae.impute import AutoencoderImputer
    >>> from skae.metrics import neg_imputation_error
    >>> X = load_iris().data
    >>> mean = neg_imputation_error(SimpleImputer().fit(X), X)
    >>> autoencoder = neg_imputation_error(AutoencoderImputer(random_state=0).fit(X), X)
    >>> bool(-1.2 < mean < -0.8 < autoencoder < 0)
    True
    """
    return ImputationScorer()(estimator, X)


def make_imputation_scorer(*, share: float = 0.1, random_state: int = 0, kind: str | None = None) -> ImputationScorer:
    """Return a scorer like `neg_imputation_error` for other shares, seeds or kinds of columns.

    Parameters
    ----------
    share : float in (0, 1), default=0.1
        Share of each column's observed entries to hide; at least one is hidden, and one is not.

    random_state : int, default=0
        Seed of the hidden entries, at least 0.

    kind : {"numeric", "categorical"} or None, default=None
        Kind of the columns that are hidden and scored. None: both.

    Returns
    -------
    callable(estimator, X, y=None) -> float
        For `GridSearchCV(scoring=...)`. It compares by value and can be pickled.

    Raises
    ------
    ValueError
        If a parameter is outside its domain.

    Examples
    --------
    >>> from sklearn.impute import KNNImputer
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skae.metrics import make_imputation_scorer
    >>> scoring = make_imputation_scorer(share=0.2, random_state=1)
    >>> search = GridSearchCV(KNNImputer(), {"n_neighbors": [5, 100]}, scoring=scoring).fit(load_iris().data)
    >>> search.best_params_
    {'n_neighbors': 5}
    """
    return ImputationScorer(share, random_state, kind)


def feature_errors(fitted: Any, X: MatrixLike) -> np.ndarray:
    """Return the squared reconstruction error of each entry, in the units of X.

    The errors show the badly reconstructed entries of a row, even for a Pipeline whose steps use other units or other
    columns. The method `feature_errors` of the autoencoders returns their loss instead, which is half of this error
    for squared error.

    Parameters
    ----------
    fitted : object
        Fitted estimator with `transform` and `inverse_transform`: a transformer or a Pipeline of transformers.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples to reconstruct, in blocks of rows.

    Returns
    -------
    ndarray or DataFrame of shape (n_samples, n_features)
        Errors in float64; a data frame with the columns and index of X if X is a pandas or polars data frame. The mean
        of the row sums is `-neg_reconstruction_error(fitted, X)`.

    Raises
    ------
    ValueError
        If X is not a finite 2D array.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae.metrics import feature_errors, neg_reconstruction_error
    >>> X = load_iris().data
    >>> pipeline = make_pipeline(StandardScaler(), PCA(n_components=2)).fit(X)
    >>> errors = feature_errors(pipeline, X)
    >>> errors.shape
    (150, 4)
    >>> round(errors.sum(axis=1).mean(), 6) == round(-neg_reconstruction_error(pipeline, X), 6)
    np.True_
    """
    rows, given = _validated(X)
    errors, reconstruct = np.empty(rows.shape), reconstruction_by(fitted, given)
    for block in _blocks(rows):
        errors[block] = _squared_errors(rows, reconstruct, block)
    return in_container_of(X, errors)


def r2(X, reconstruct, weights):
    """Return the variance-weighted R2 of a reconstruction of X, a function of a slice of its rows, in float64.

    Like `sklearn.metrics.r2_score`, except that a single row gives a score, not a warning. All weights are positive.
    """
    return r2_sums(X, reconstruct, weights).r2(np.finfo(X.dtype).eps)


def r2_sums(X, reconstruct, weights):
    """Return the ReconstructionSums from which `r2` follows."""
    rows = rows_of(X)
    sums = (reconstruction_sums(rows.dense(block), reconstruct(block), weights[block]) for block in _blocks(X))
    return reduce(add, sums)


def squared_error(X, reconstruct, weights):
    """Return the weighted sum of the squared errors of a reconstruction of X, a function of a slice of its rows."""
    return sum(weights[rows] @ _squared_errors(X, reconstruct, rows).sum(axis=1) for rows in _blocks(X))


def _blocks(X):
    return gen_batches(X.shape[0], max(16, _BLOCK_ENTRIES // X.shape[1]))


def _scored(estimator, X, sample_weight):
    """Return the positive weights, their rows, and the function that reconstructs a slice of these rows."""
    rows, given = _validated(X)
    weights, rows, given = drop_weightless(validated_weights(sample_weight, rows), rows, given)
    return weights, rows, reconstruction_by(estimator, given)


def _validated(X):
    """Return the validated X, and X for the transformer: in its own container, as CSR, or a file's rows."""
    rows = validated_rows(X)
    return rows, rows if issparse(X) or in_blocks(X) is not X else X


def reconstruction_by(fitted, X):
    """Return the function that reconstructs a slice of the rows of X."""

    def reconstruct(rows):
        given = some_rows(X, rows)
        result = fitted.inverse_transform(fitted.transform(given))
        result = result.toarray() if issparse(result) else np.asarray(result)
        if result.shape != np.shape(given):
            raise ValueError(
                f"inverse_transform(transform(X)) must have X's shape, {np.shape(given)}, but {type(fitted).__name__} "
                f"returned {result.shape}."
            )
        return result

    return reconstruct


def _squared_errors(X, reconstruct, rows):
    """Return the squared errors of a slice of the rows, in float64."""
    # An overflow is an infinite error.
    with np.errstate(over="ignore"):
        return np.square(np.subtract(rows_of(X).dense(rows), reconstruct(rows), dtype=np.float64))
