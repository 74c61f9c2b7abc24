"""The outlier detector."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from skae._compat import InvalidParameterError, fit_context, one_of, reals, safe_indexing, to_frame
from skae._detection import calibration
from skae._detection.model import (
    autoencoder_of,
    column_errors,
    column_names,
    cross_fitted_errors,
    default_estimator,
    fitted,
    seeded,
)
from skae._estimators.base import BaseAutoencoder
from skae._rollback import unchanged_by_errors
from skae._rows.distinct import distinct_rows
from skae._typing import MatrixLike
from skae._validation import drop_weightless, validated_input, validated_weights

# Fits without the rows that the fit before calls odd.
_MAX_REFITS = 3

# Rows for cross-fitted scores: a fit to the others has two rows at least, as early stopping needs.
_FEWEST = 3


class AutoencoderOutlierDetector(OutlierMixin, BaseEstimator):
    r"""Detector of odd rows: those that an autoencoder of the training rows reconstructs badly.

    The error of an entry is what the autoencoder's loss exceeds that of a perfect reconstruction by, in units of the
    typical error of its column; the error of a row is the mean over its columns. Ordinary rows have errors about 1.
    `explain` shows which columns make a row odd.

    Parameters
    ----------
    estimator : estimator object or None, default=None
        An AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder, with any loss, or
        a Pipeline whose last step is one. A Pipeline may take any X that its first step takes, such as tables with
        categories or texts. None: `StandardScaler(with_mean=False)`, then the linear autoencoder
        `AutoencoderTransformer(activation="identity", alpha=0.5)`, for X of numbers.

    contamination : float in (0, 0.5] or "auto", default="auto"
        Share of the training rows to call odd, at most: equal scores are called odd together or not at all. "auto": of
        the errors that the training rows would have as new rows (see Notes), those whose logarithm is beyond the third
        quartile plus 1.5 interquartile ranges, and in any case the largest hundredth.

    random_state : int, RandomState instance or None, default=None
        Sets every `random_state` of the `estimator`, and of its steps, that is None. Pass an int for the same result in
        every call. The default is deterministic.

    Attributes
    ----------
    estimator_ : estimator object
        The fitted autoencoder or Pipeline.

    offset_ : float
        The score below which rows are odd.

    typical_errors_ : ndarray of shape (n_columns,)
        Mean error of each column of what the autoencoder gets, over the rows of the last fit; at least a tenth of the
        mean over the columns.

    n_features_in_ : int
        Number of features seen during `fit`, if the first step counts them.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during `fit`, if X has names that are all strings.

    See Also
    --------
    skae.metrics.feature_errors : Squared residuals of any transformer, in the units of X.

    sklearn.ensemble.IsolationForest : Odd rows by random splits of the columns.

    sklearn.neighbors.LocalOutlierFactor : Odd rows by the distances of neighbours.

    Notes
    -----
    Let :math:`e_{ij}` be the error of an entry, :math:`t_j` its mean over the rows of the last fit and
    :math:`r_{ij} = e_{ij} / t_j`. The score of a row is

    .. math:: -\frac1n \sum_{j=1}^n \rho(r_{ij}), \qquad
              \rho(r) = r \text{ for } r \le 9, \quad 6 \sqrt r - 9 \text{ beyond},

    so that an entry three times as far off as usual counts in full, and farther ones in proportion to their distance.

    After each fit the rows that the detector calls odd are left out, and the next fit is to the others, three times at
    most, or until they are the same rows. If many of the training rows are odd and alike, "auto" sees no gap: set
    `contamination` to an upper bound of their share.

    An autoencoder reconstructs the rows that it is fitted to better than new ones. With "auto", the rows of the last
    fit are therefore divided into five parts, at random but always alike, and `offset_` is that of the scores which
    each of them has by a fit to the four others, in typical errors of the last fit; the rows left out have their own
    scores. These five further fits are of the autoencoder alone, not of the steps before it. Below three rows there are
    none. With a share, `offset_` is that of the scores of the training rows.

    The fit of the default is in closed form: one eigendecomposition of the covariance of the columns. With it,
    sparse X stays sparse.

    Equal rows are merged, as in the four autoencoders, but not before a Pipeline: rows repeated there may be in several
    of the five parts, which lowers their errors. Give them a `sample_weight` instead.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skae import AutoencoderOutlierDetector
    >>> X = load_wine(as_frame=True).data
    >>> detector = AutoencoderOutlierDetector().fit(X)
    >>> odd = X.iloc[[0]].assign(hue=3.0)
    >>> detector.predict(X.iloc[[0]]), detector.predict(odd)
    (array([1]), array([-1]))
    >>> detector.explain(odd).columns[0]
    'hue'
    """

    _parameter_constraints = {
        "estimator": [None, BaseAutoencoder, Pipeline],
        "contamination": [one_of("auto"), reals(0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    _doc_link_module = BaseAutoencoder._doc_link_module
    _doc_link_template = BaseAutoencoder._doc_link_template

    def __init__(
        self,
        estimator: BaseAutoencoder | Pipeline | None = None,
        *,
        contamination: float | str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is None:
            tags.input_tags.sparse = True
        else:
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the detector to X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, most of them ordinary. With a Pipeline, whatever its first step takes.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight zero is left out, an integer weight repeats the row. They count in the
            fits, in the typical errors and in `offset_`. A Pipeline passes them to every step whose `fit` takes them,
            or, under metadata routing, to the steps that request them. If None, all rows have the same weight.

        Returns
        -------
        self : object
            The fitted detector. After an error or an interrupt it is as it was before the call.

        Raises
        ------
        ValueError
            If a parameter, X or the weights are out of their domain.
        """
        with unchanged_by_errors(self):
            self._fit(X, sample_weight)
        return self

    def _fit(self, X, sample_weight):
        X, weights = self._training_rows(X, sample_weight)
        seed = None if self.random_state is None else check_random_state(self.random_state).randint(2**31)
        estimator = seeded(default_estimator() if self.estimator is None else self.estimator, seed)
        ordinary = np.ones(len(weights), dtype=bool)
        for _ in range(1 + _MAX_REFITS):
            kept = ordinary
            scores = self._fit_to(estimator, X, np.where(kept, weights, 0))
            self.offset_ = calibration.offset(scores, weights, self.contamination)
            ordinary = scores >= self.offset_
            if np.array_equal(ordinary, kept):
                break
        if self.contamination == "auto" and np.count_nonzero(kept) >= _FEWEST:
            scores[kept] = self._cross_fitted_scores(safe_indexing(X, np.flatnonzero(kept)), weights[kept])
            self.offset_ = calibration.offset(scores, weights, "auto")
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))

    def _training_rows(self, X, sample_weight):
        """Return the rows of positive weight and their weights; merged, in an order of their own, before the default.

        A scaler rounds weighted rows in another way than repeated ones, and the same rows in another order.
        """
        if isinstance(self.estimator, Pipeline):
            weights = validated_weights(sample_weight, X)
            weights, X = drop_weightless(weights, X)
            return X, weights[:]
        rows = validated_input(self, X, reset=True)
        distinct = distinct_rows(rows, validated_weights(sample_weight, rows))
        given = X if hasattr(X, "columns") else rows
        return given if distinct.indices is None else safe_indexing(given, distinct.indices), distinct.weights[:]

    def _fit_to(self, estimator, X, weights):
        """Fit to the rows of positive weight, and return the scores of all."""
        kept = np.flatnonzero(weights)
        rows = X if len(kept) == len(weights) else safe_indexing(X, kept)
        self.estimator_ = fitted(estimator, rows, weights[kept])
        self.typical_errors_ = calibration.typical_errors(column_errors(self.estimator_, rows), weights[kept])
        try:
            return self._scores(X)
        except ValueError as error:
            if rows is X:
                raise
            raise ValueError(
                f"The fit to the ordinary rows does not take some rows that were called odd: {error}\n"
                "Let encoders take categories that they have not seen (handle_unknown='ignore'), and give the losses "
                "of the columns by name instead of loss='auto'."
            ) from error

    def _cross_fitted_scores(self, X, weights):
        """Return the scores of the rows of the last fit as if they were new."""
        scores = np.empty(len(weights))
        for rows, errors in cross_fitted_errors(self.estimator_, X, weights):
            scores[rows] = calibration.scores(errors, self.typical_errors_)
        return scores

    def _scores(self, X):
        return calibration.scores(column_errors(self.estimator_, X), self.typical_errors_)

    def score_samples(self, X: MatrixLike) -> np.ndarray:
        """Return minus the error of each row, in units of typical errors: the lower, the odder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples,)
            At most 0.0, about -1.0 for ordinary rows: the mean of each row of `explain`, with a minus sign.

        Raises
        ------
        ValueError
            If X is not like the rows of `fit`.
        """
        check_is_fitted(self)
        return self._scores(X)

    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Return `score_samples(X) - offset_`, which is negative for odd rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples,)
            Below 0.0 for odd rows.

        Raises
        ------
        ValueError
            If X is not like the rows of `fit`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Return which rows are odd.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to judge.

        Returns
        -------
        ndarray of shape (n_samples,)
            -1 for odd rows, whose score is below `offset_`, and 1 for all others.

        Raises
        ------
        ValueError
            If X is not like the rows of `fit`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: MatrixLike) -> Any:
        """Return the errors of each row by column, in units of the column's typical error, the largest first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to explain.

        Returns
        -------
        DataFrame of shape (n_samples, n_columns)
            A polars frame if X is one, otherwise a pandas frame, with the index of X if X has one. The columns are
            those that the autoencoder gets, by decreasing mean over the rows of X: to rank the columns for one row,
            pass that row alone.

        Raises
        ------
        ValueError
            If X is not like the rows of `fit`.

        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        errors = np.concatenate(list(calibration.scaled(column_errors(self.estimator_, X), self.typical_errors_)))
        order = np.argsort(-errors.mean(axis=0), kind="stable")
        return to_frame(errors[:, order], np.asarray(column_names(self.estimator_))[order], X)

    def onnx_parser(self) -> Any:
        """Refuse a conversion to ONNX; `skl2onnx.to_onnx` calls it.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot be converted to ONNX. Convert its estimator_ with the option output="
            "'reconstruction', and compare rows with their reconstructions: score_samples is minus the mean over the "
            "columns of the loss in units of typical_errors_, and predict compares it with offset_."
        )

    def _validate_params(self):
        super()._validate_params()
        last = BaseAutoencoder() if self.estimator is None else autoencoder_of(self.estimator)
        if not isinstance(last, BaseAutoencoder):
            raise InvalidParameterError(
                f"The 'estimator' parameter of {type(self).__name__} must be an autoencoder of skae, a Pipeline whose "
                f"last step is one, or None. Got a Pipeline whose last step is {last!r} instead."
            )
