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
    is_missing,
    is_pandas_frame,
    one_of,
    reals,
)
from skae._estimators.base import BaseAutoencoder
from skae._imputation.gaussian import GaussianRounds
from skae._imputation.rounds import EstimatorRounds, choose_strength
from skae._imputation.table import Table
from skae._objective.units import SCALE
from skae._rollback import unchanged_by_errors
from skae._rows.distinct import distinct_rows
from skae._typing import MatrixLike
from skae._validation import FLOATS, drop_weightless, refuse_masked, validated_weights
from skae.losses import SquaredError
from skae.losses._choice import AUTO
from skae.losses._registry import make_loss

__all__ = ["AutoencoderImputer"]


class AutoencoderImputer(BaseImputer):
    r"""Imputer that fills missing entries with their reconstructions by an autoencoder.

    It takes arrays of numbers, and pandas frames with columns of numbers, booleans and categories (strings, objects and
    pandas categoricals), nullable dtypes among them. A pandas frame gives a pandas frame, with its columns, their order
    and their dtypes. Numbers are standardised on the observed entries, categories become indicator columns.

    The autoencoder is fitted in rounds: what is missing is filled with the mean or the most frequent category, the
    autoencoder is fitted, what is missing is filled with its reconstruction, and so on until the changes are small.

    Parameters
    ----------
    estimator : estimator object or None, default=None
        An AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder, fitted with a warm
        start in each round. With `loss="auto"` numbers have the squared error, two categories the cross-entropy, and
        more the categorical loss; with "squared_error" all columns have it. None: the linear autoencoder with as many
        components as columns, in closed form (see Notes). It had the lowest errors of all, on tables of numbers and on
        mixed tables.

    missing_values : int, float, str, numpy.nan, None or pandas.NA, default=numpy.nan
        The placeholder of missing entries. NaN, None and pandas.NA are equal in a pandas frame.

    add_indicator : bool, default=False
        Whether to append, as `MissingIndicator` makes them, a column for each column with missing entries in `fit`.

    keep_empty_features : bool, default=False
        Whether to return columns of numbers that have no observed entry in `fit`, missing entries of which are filled
        with 0. If False, columns without observed entries are dropped.

    alpha : float above 0 or "auto", default="auto"
        Weight decay, as in the autoencoders, for standardised columns. "auto": that of the `estimator`, if it is a
        number there. Otherwise it is chosen among 2, 1, 1/2, ..., 1/1024: a tenth of the observed entries is hidden,
        and imputed with one strength after the other, from the strongest on, until the errors increase.

    max_iter : int, default=100
        Largest number of rounds.

    tol : float, default=0.01
        The rounds end when the root mean square of the changes is below `tol`, in standard deviations of the columns.

    random_state : int, RandomState instance or None, default=None
        Determines which entries are hidden to choose `alpha`, and the `random_state` of the `estimator` if that is
        None. Pass an int for the same result in every call.

    Attributes
    ----------
    autoencoder_ : AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder or ContractiveAutoencoder
        The fitted autoencoder, of rows of standardised numbers and indicator columns.

    alpha_ : float
        The weight decay.

    indicator_ : MissingIndicator or None
        None if `add_indicator` is False.

    statistics_ : ndarray of shape (n_features,)
        The first filling: means and most frequent categories; NaN for a column without observed entries.

    n_iter_ : int
        Number of rounds.

    n_features_in_ : int
        Number of columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X has names that are all strings.

    See Also
    --------
    skae.metrics.neg_imputation_error : Scorer that compares imputers, on observed entries.

    sklearn.impute.IterativeImputer : Regression of every column on the others.

    Notes
    -----
    Every outcome is defined:

    - A category that `fit` has not seen counts as a missing entry, and is replaced.
    - In a row without observed entries all are filled as in the mean row.
    - X without missing entries is returned as it is; `fit` learns from it all the same.
    - Integers and booleans are rounded; integers stay between the smallest and the largest observed in `fit`.
    - All other observed entries are returned as they are.
    - A pandas categorical gets the categories that are filled in and that it lacks.

    **The default.** With weight decay :math:`\alpha` the linear autoencoder of rows with covariance :math:`C`
    reconstructs :math:`x` as :math:`x - \alpha C^{-1} (x - \mu)`. Entries that equal their reconstructions are
    the conditional means, given the observed ones, of a Gaussian with this covariance. The rounds are its EM algorithm:
    :math:`C` is the covariance of the filled rows, plus the mean conditional covariance of what is missing, plus
    :math:`\alpha I`, which makes the model that of a denoising autoencoder with noise of variance
    :math:`\alpha`. Beside each number the autoencoder sees its standardised rank, so that relations that are monotone
    but not linear are learned too.

    A round costs, for each row, the product with a matrix of all columns and, for each pattern of missing entries, the
    inverse of a matrix as wide as there are missing columns; a number counts as two columns here, and a category as
    one a level. `transform` costs the same as one round. With an `estimator`, `transform` reconstructs the rows up to
    `max_iter` times, until they change by less than `tol`: each time costs as much as `reconstruct`. The result for a
    row does not depend on the other rows.

    References
    ----------
    M. E. Tipping and C. M. Bishop, "Probabilistic principal component analysis", Journal of the Royal Statistical
    Society B 61, 1999.

    T. Schneider, "Analysis of incomplete climate data: estimation of mean values and covariance matrices and imputation
    of missing values", Journal of Climate 14, 2001.

    Examples
    --------
    >>> import pandas as pd
    >>> from skae.impute import AutoencoderImputer
    >>> X = pd.DataFrame(
    ...     {
    ...         "height": [1.0, 2.0, None, 4.0, 5.0, 6.0],
    ...         "width": [1.1, 2.2, 2.9, None, 5.1, 5.8],
    ...         "colour": ["red", "red", "red", "blue", None, "blue"],
    ...     }
    ... )
    >>> filled = AutoencoderImputer(random_state=0).fit_transform(X)
    >>> filled["colour"].tolist()
    ['red', 'red', 'red', 'blue', 'blue', 'blue']
    >>> bool(2.5 < filled["height"][2] < 3.5)
    True
    """

    _parameter_constraints = {
        **BaseImputer._parameter_constraints,
        "estimator": [None, BaseAutoencoder],
        "alpha": [one_of("auto"), reals(0, closed="neither")],
        "max_iter": [integers(1)],
        "tol": [reals(0, closed="left")],
        "random_state": ["random_state"],
    }

    _doc_link_module = BaseAutoencoder._doc_link_module
    _doc_link_template = BaseAutoencoder._doc_link_template

    def __init__(
        self,
        estimator: BaseAutoencoder | None = None,
        *,
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        alpha: float | str = "auto",
        max_iter: int = 100,
        tol: float = 1e-2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
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
        """Fit the imputer to X.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows with missing entries.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight zero is left out, an integer weight repeats the row. If None, all rows
            have the same weight.

        Returns
        -------
        self : object
            The fitted imputer. After an error it is as it was before the call.

        Raises
        ------
        ValueError
            If a parameter, X or the weights are out of their domain, or X has no observed entry; if the `estimator` has
            a loss that does not fit X, or another weight decay than the imputer.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If `max_iter` rounds do not reach `tol`. Warnings of the `estimator` are shown too.
        """
        with unchanged_by_errors(self):
            self._fit(X, sample_weight)
        return self

    def _fit(self, X, sample_weight):
        X, missing = self._validated(X, reset=True)
        weights, X, missing = drop_weightless(validated_weights(sample_weight, missing), X, missing)
        table = Table.of(X, missing, weights[:], self.keep_empty_features, is_linear=self.estimator is None)
        Z = table.encode(X, missing)
        distinct = distinct_rows(np.hstack([np.nan_to_num(Z), np.isnan(Z)]), weights)
        Z, weights = distinct.take(Z)
        weights = weights[:]
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
        """Fill the missing entries of X.

        Parameters
        ----------
        X : {array-like, pandas DataFrame} of shape (n_samples, n_features)
            Rows, with the columns of `fit`.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features_out)
            A copy of X in which the missing entries are filled. A pandas frame if X is one, or if `set_output` asks for
            it.

        Raises
        ------
        ValueError
            If X has other columns than in `fit`, numbers where `fit` had categories or the reverse, or infinite
            numbers.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If rows still change by more than `tol` after `max_iter` reconstructions by the `estimator`.
        """
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
        return result.assign(**dict(zip(names, np.asarray(indicators).T, strict=True)))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X. None: `feature_names_in_`, or "x0", "x1", ... if X had no names.

        Returns
        -------
        ndarray of str objects
            Names of the columns, then of the indicators.

        Raises
        ------
        ValueError
            If the names are not those of `fit`, or as many.
        """
        check_is_fitted(self)
        names = feature_names_in(self, input_features)
        return self._concatenate_indicator_feature_names_out(names[self._table.kept], names)

    def onnx_parser(self) -> Any:
        """Refuse a conversion to ONNX; `skl2onnx.to_onnx` calls it.

        Raises
        ------
        NotImplementedError
            Always: the graph would have to solve linear systems, one for each pattern of missing entries.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot be converted to ONNX: it fills rows by linear systems or by repeated "
            "reconstructions, which have no counterpart there. Fill the rows in Python before they reach the graph, or "
            "fit a Pipeline that starts with SimpleImputer or KNNImputer, which skl2onnx converts."
        )

    def _validated(self, X, reset):
        """Return X, as a pandas frame or an array of floats, and a mask of its missing entries."""
        refuse_masked(X)
        given = self.missing_values
        if is_pandas_frame(X):
            validate_data(self, X, skip_check_array=True, reset=reset)
            absent = X.isna().to_numpy()
            check_array(absent, estimator=self)
            missing = absent if is_missing(given) else X.eq(given).to_numpy(dtype=bool, na_value=False)
        elif isinstance(given, str):
            raise ValueError(f"missing_values={given!r} is for pandas frames: arrays are of numbers.")
        else:
            X = validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=reset)
            absent = np.isnan(X)
            missing = absent if is_missing(given) else given == X
        if (absent & ~missing).any():
            raise ValueError(f"Input X contains NaN, but missing_values={given!r}.")
        return X, missing

    def _start(self, Z, table, seed):
        """Return the state before the first round."""
        filled = np.where(np.isnan(Z), table.start, Z)
        if self.estimator is None:
            return GaussianRounds(filled)
        model = clone(self.estimator).set_output(transform="default")
        if self._loss() == AUTO:
            model.set_params(loss=table.losses)
        else:
            self._check_loss(table.categories)
        if model.random_state is None:
            model.set_params(random_state=seed)
        return EstimatorRounds(filled, model=model)

    def _check_loss(self, categories):
        """Raise ValueError if the estimator's loss, not "auto", does not take standardised numbers and indicators."""
        is_for_numbers = getattr(self._loss(), "takes_any_unit", True)
        if self._loss() == SquaredError() or (is_for_numbers and not categories):
            return
        of_categories = f", and columns {categories} are indicators of categories" if categories else ""
        raise ValueError(
            f"The estimator's loss={self.estimator.loss!r} does not fit X, whose numbers are standardised"
            f"{of_categories}. Set loss='auto', which gives every kind of column its own, or loss='squared_error'."
        )

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
