"""Imputation: missing entries filled with what an autoencoder reconstructs."""

import warnings
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from skae._compat import (
    BaseImputer,
    feature_names_in,
    fit_context,
    integers,
    is_pandas_frame,
    is_scalar_nan,
    missing_mask,
    one_of,
    reals,
)
from skae._estimators.base import BaseAutoencoder
from skae._imputation.gaussian import GaussianRounds
from skae._imputation.rounds import EstimatorRounds, choose_strength
from skae._imputation.table import Table
from skae._objective.units import SCALE
from skae._rows.distinct import distinct_rows
from skae._typing import MatrixLike
from skae._validation import FLOATS, drop_weightless, refuse_masked, validated_weights
from skae.losses import AUTO, SquaredError, make_loss

__all__ = ["AutoencoderImputer"]


class AutoencoderImputer(BaseImputer):
    """Imputer that fills missing entries with their reconstructions by an autoencoder."""

    _parameter_constraints = {
        **BaseImputer._parameter_constraints,
        "estimator": [None, BaseAutoencoder],
        "alpha": [one_of("auto"), reals(0, closed="neither")],
        "max_iter": [integers(1)],
        "tol": [reals(0, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        missing_values=np.nan,
        add_indicator=False,
        keep_empty_features=False,
        alpha="auto",
        max_iter=100,
        tol=1e-3,
        random_state=None,
    ):
        super().__init__(
            missing_values=missing_values, add_indicator=add_indicator, keep_empty_features=keep_empty_features
        )
        self.estimator = estimator
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        before = self.__dict__.copy()
        try:
            self._fit(X, sample_weight)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X, sample_weight):
        X, missing = self._validated(X, reset=True)
        weights, X, missing = drop_weightless(validated_weights(sample_weight, missing), X, missing)
        table = Table.of(X, missing, weights, self.keep_empty_features, is_linear=self.estimator is None)
        Z = table.encode(X, missing)
        distinct = distinct_rows(np.hstack([np.nan_to_num(Z), np.isnan(Z)]), weights)
        Z, weights = distinct.take(Z, np.ones(len(distinct.weights), dtype=bool))
        rng = check_random_state(self.random_state)
        start = partial(self._start, table=table, seed=rng.randint(2**31))
        alpha = self._fixed_strength()
        if alpha is None:
            alpha = choose_strength(start, Z, weights, table.owners, self.tol, rng)
        state = start(Z).run(Z, weights, alpha, self.max_iter, self.tol)
        if state.change >= self.tol:
            self._warn(f"fit changed the missing entries by {state.change:.2g} in the last round")
        self._fit_indicator(missing)
        self._table, self._rounds = table, type(state)
        self.autoencoder_ = state.autoencoder(alpha)
        self.alpha_, self.n_iter_ = alpha, state.n_iter
        self.statistics_ = table.fillings

    def transform(self, X: MatrixLike) -> Any:
        check_is_fitted(self)
        X, missing = self._validated(X, reset=False)
        Z = self._table.encode(X, missing)
        filled, converged = self._rounds.fill(self.autoencoder_, Z, self._table.start, self.max_iter, self.tol)
        if not converged:
            self._warn("transform still changes some rows")
        missing = missing | self._table.unknown(Z)
        result = self._table.complete(X, missing, filled)
        if not self.add_indicator:
            return result
        indicators = self._transform_indicator(missing)
        if not is_pandas_frame(result):
            return self._concatenate_indicator(result, indicators)
        names = self.get_feature_names_out()[result.shape[1] :]
        return result.assign(**dict(zip(names, indicators.T, strict=True)))

    def get_feature_names_out(self, input_features=None):
        check_is_fitted(self)
        names = feature_names_in(self, input_features)
        return self._concatenate_indicator_feature_names_out(names[self._table.kept], names)

    def _validated(self, X, reset):
        """Return X, as a pandas frame or an array of floats, and a mask of its missing entries."""
        refuse_masked(X)
        is_nan = is_scalar_nan(self.missing_values)
        if not is_pandas_frame(X):
            finite = "allow-nan" if is_nan else True
            X = validate_data(self, X, dtype=FLOATS, ensure_all_finite=finite, reset=reset)
            return X, missing_mask(X, self.missing_values)
        validate_data(self, X, skip_check_array=True, reset=reset)
        absent = X.isna().to_numpy()
        missing = absent if is_nan else (X == self.missing_values).to_numpy(dtype=bool, na_value=False)
        check_array(missing, estimator=self)
        if (absent & ~missing).any():
            raise ValueError(f"Input X contains NaN, but missing_values={self.missing_values!r}.")
        return X, missing

    def _start(self, Z, table, seed):
        """Return the state before the first round."""
        filled = np.where(np.isnan(Z), table.start, Z)
        if self.estimator is None:
            return GaussianRounds(filled)
        model = clone(self.estimator).set_output(transform="default")
        if self._loss() == AUTO:
            model.set_params(loss=table.losses)
        elif table.categories and self._loss() != SquaredError():
            raise ValueError(
                f"The estimator has loss={self.estimator.loss!r}, but X has columns of categories: {table.categories}. "
                "Set loss='auto', a loss for every kind of column, or loss='squared_error' for all of them."
            )
        if model.random_state is None:
            model.set_params(random_state=seed)
        return EstimatorRounds(filled, model=model)

    def _loss(self):
        return SquaredError() if self.estimator is None else make_loss(self.estimator.loss)

    def _fixed_strength(self):
        """Return the weight decay if it is fixed, else None."""
        own = SCALE if self.estimator is None else self.estimator.alpha
        if self.alpha != "auto" and own not in (SCALE, self.alpha):
            raise ValueError(
                f"alpha={self.alpha!r}, but the estimator has alpha={own!r}. Set one of them, or leave both at their "
                "defaults for the imputer to choose."
            )
        strength = own if self.alpha == "auto" else self.alpha
        return None if strength == SCALE else strength

    def _warn(self, what):
        warnings.warn(
            f"{type(self).__name__} did not converge: after max_iter={self.max_iter} rounds, {what}, more than "
            f"tol={self.tol} (in standard deviations). Increase max_iter, tol or alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )
