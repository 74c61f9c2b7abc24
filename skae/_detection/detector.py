"""The outlier detector."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from skae._compat import InvalidParameterError, fit_context, is_pandas_frame, one_of, reals, safe_indexing, to_frame
from skae._detection import calibration
from skae._detection.model import autoencoder_of, column_errors, column_names, default_estimator, fitted, seeded
from skae._estimators.base import BaseAutoencoder
from skae._rows.distinct import distinct_rows
from skae._typing import MatrixLike
from skae._validation import drop_weightless, validated_input, validated_weights

# Fits without the rows that the fit before calls odd.
_MAX_REFITS = 3


class AutoencoderOutlierDetector(OutlierMixin, BaseEstimator):
    r"""TODO."""

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
        before = self.__dict__.copy()
        try:
            self._fit(X, sample_weight)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X, sample_weight):
        X, weights = self._training_rows(X, sample_weight)
        seed = None if self.random_state is None else check_random_state(self.random_state).randint(2**31)
        estimator = seeded(default_estimator() if self.estimator is None else self.estimator, seed)
        kept = np.ones(len(weights), dtype=bool)
        for _ in range(1 + _MAX_REFITS):
            scores = self._fit_to(estimator, X, np.where(kept, weights, 0))
            self.offset_ = calibration.offset(scores, weights, self.contamination)
            before, kept = kept, scores >= self.offset_
            if np.array_equal(before, kept):
                break

    def _training_rows(self, X, sample_weight):
        """Return the rows of positive weight and their weights; merged, in an order of their own, before the default.

        A scaler rounds weighted rows in another way than repeated ones, and the same rows in another order.
        """
        if isinstance(self.estimator, Pipeline):
            weights = validated_weights(sample_weight, X)
            weights, X = drop_weightless(weights, X)
            return X, weights
        rows = validated_input(self, X, reset=True)
        distinct = distinct_rows(rows, validated_weights(sample_weight, rows))
        firsts = distinct.first(np.ones(len(distinct.weights), dtype=bool))
        return safe_indexing(X if is_pandas_frame(X) else rows, firsts), distinct.weights

    def _fit_to(self, estimator, X, weights):
        """Fit to the rows of positive weight, and return the scores of all."""
        kept = np.flatnonzero(weights)
        rows = X if len(kept) == len(weights) else safe_indexing(X, kept)
        self.estimator_ = fitted(estimator, rows, weights[kept])
        self.typical_errors_ = calibration.typical_errors(column_errors(self.estimator_, rows), weights[kept])
        return self._scores(X)

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

    def _validate_params(self):
        super()._validate_params()
        last = BaseAutoencoder() if self.estimator is None else autoencoder_of(self.estimator)
        if not isinstance(last, BaseAutoencoder):
            raise InvalidParameterError(
                f"The 'estimator' parameter of {type(self).__name__} must be an autoencoder of skae, a Pipeline whose "
                f"last step is one, or None. Got a Pipeline whose last step is {last!r} instead."
            )
