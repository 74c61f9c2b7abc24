"""Reconstruction scores for any fitted transformer that has `transform` and `inverse_transform`.

They have the signature of scikit-learn's scorers, so they go into `GridSearchCV(scoring=...)`, and they compare in
the units of the X they are given, also behind a scaler in a Pipeline.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_array

from skae._sklearn import takes_sample_weight
from skae._typing import MatrixLike
from skae._validation import canonical, refuse_masked, validated_weights
from skae.rows import dense_rows

__all__ = ["neg_reconstruction_error", "reconstruction_r2"]

_BLOCK_ENTRIES = 2**18


@takes_sample_weight
def reconstruction_r2(estimator: Any, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
    """Return the share of the variance of X that the estimator's reconstruction explains.

    The variance-weighted R2 of `sklearn.metrics.r2_score` between X and
    `estimator.inverse_transform(estimator.transform(X))`. For `PCA` on its training data it is
    `explained_variance_ratio_.sum()`.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`: a transformer or a Pipeline of them.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to reconstruct.

    y : None
        Ignored; scorers are called with it.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None: equal.

    Returns
    -------
    float
        1.0 is perfect, 0.0 as good as the mean of the scored rows. Columns that are constant do not count; where
        all are, 1.0 for a reconstruction that is exact to rounding and 0.0 for any other.

    Raises
    ------
    ValueError
        If X is not a finite 2D array, or the weights do not fit it.

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
    X, reconstruction, weights = _reconstruct(estimator, X, sample_weight)
    return r2(X, lambda rows: reconstruction[rows], weights)


@takes_sample_weight
def neg_reconstruction_error(
    estimator: Any, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None
) -> float:
    """Return minus the mean over rows of the squared reconstruction error, summed over features.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`: a transformer or a Pipeline of them.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to reconstruct.

    y : None
        Ignored; scorers are called with it.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None: equal.

    Returns
    -------
    float
        At most 0.0, in the squared unit of X; larger is better.

    Raises
    ------
    ValueError
        If X is not a finite 2D array, or the weights do not fit it.

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
    X, reconstruction, weights = _reconstruct(estimator, X, sample_weight)
    total = 0.0
    with np.errstate(over="ignore"):
        for rows in _blocks(X):
            residual = np.subtract(dense_rows(X, rows), reconstruction[rows], dtype=np.float64)
            total += weights[rows] @ np.square(residual).sum(axis=1)
    return -float(total / weights.sum())


def r2(X, reconstruct, weights):
    """Variance-weighted R2 of a reconstruction of X, a function of a slice of its rows, in float64.

    As `sklearn.metrics.r2_score`, except that a column whose spread is only rounding counts as constant, and that
    one row is a score, not a warning.
    """
    precision = 16 * np.finfo(X.dtype).eps
    # Squares of what X holds may overflow; a power of two leaves every digit.
    exponent = -np.frexp(max(X.max(), -X.min()))[1]

    def scaled(block):
        return np.ldexp(block.astype(np.float64, copy=False), exponent)

    mean = sum(weights[rows] @ scaled(dense_rows(X, rows)) for rows in _blocks(X)) / weights.sum()
    residual, total = np.zeros((2, X.shape[1]))
    with np.errstate(over="ignore"):
        for rows in _blocks(X):
            block = scaled(dense_rows(X, rows))
            residual += weights[rows] @ np.square(block - scaled(reconstruct(rows)))
            total += weights[rows] @ np.square(block - mean)
    varies = total > weights.sum() * (precision * mean) ** 2
    if not varies.any():
        return float(np.all(residual <= weights.sum() * (precision * np.abs(mean).max()) ** 2))
    return float(1 - residual[varies].sum() / total[varies].sum())


def _blocks(X):
    return gen_batches(X.shape[0], max(16, _BLOCK_ENTRIES // X.shape[1]))


def _reconstruct(estimator, X, sample_weight):
    refuse_masked(X)
    rows = canonical(check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32], input_name="X"))
    weights = validated_weights(sample_weight, rows)
    reconstruction = np.asarray(estimator.inverse_transform(estimator.transform(X)))
    if reconstruction.shape != rows.shape:
        raise ValueError(
            f"inverse_transform(transform(X)) must have X's shape, {rows.shape}, but {type(estimator).__name__} "
            f"returned {reconstruction.shape}."
        )
    return rows, reconstruction, weights
