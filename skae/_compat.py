"""The private names of scikit-learn that skae uses, in one place, and substitutes where a release lacks a name.

scikit-learn's own estimators declare their parameters with parameter validation and `_fit_context`, and its common
tests know them; `set_output` wraps what `transform` returns alone. There is no public counterpart in the
supported releases.
"""

from html import escape
from numbers import Integral, Real

from scipy.sparse import issparse
from sklearn.base import _fit_context as fit_context
from sklearn.impute._base import _BaseImputer as BaseImputer
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils._param_validation import Interval, InvalidParameterError, RealNotInt, StrOptions
from sklearn.utils._set_output import (
    ADAPTERS_MANAGER,
    _get_adapter_from_container,
    _get_container_adapter,
    _get_output_config,
    check_library_installed,
)
from sklearn.utils.validation import _check_feature_names_in as feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as feature_names
from sklearn.utils.validation import _num_samples as num_samples

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn below 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Without `set_callbacks`."""


__all__ = [
    "BaseImputer",
    "CallbackSupportMixin",
    "HTMLTableMixin",
    "InvalidParameterError",
    "check_sample_weight",
    "column_indices",
    "feature_names",
    "feature_names_in",
    "fit_context",
    "in_container_of",
    "in_input_container",
    "integers",
    "is_missing",
    "is_pandas_frame",
    "num_samples",
    "one_of",
    "output_container",
    "reals",
    "safe_indexing",
    "some_rows",
    "to_frame",
]


class HTMLTableMixin:
    """One more table in the HTML representation, after that of the parameters.

    scikit-learn asks each estimator of a Pipeline for its table of parameters, and for nothing else in all releases.
    """

    def _html_table(self):
        """Return the title of the table and its rows, a dict of str; None for no table."""
        raise NotImplementedError

    def _get_params_html(self, *args, **kwargs):
        parameters, table = super()._get_params_html(*args, **kwargs), self._html_table()
        if table is not None:
            title, rows = table
            cells = "".join(
                f'<tr class="default"><td class="param">{escape(name)}</td><td class="value">{escape(value)}</td></tr>'
                for name, value in rows.items()
            )
            html = (
                f'<div class="estimator-table"><details><summary>{escape(title)}</summary>'
                f'<table class="parameters-table"><tbody>{cells}</tbody></table></details></div>'
            )
            before = parameters._repr_html_inner
            parameters._repr_html_inner = lambda: before() + html
        return parameters


class _Number(Interval):
    """An interval of numbers that does not take True and False for 1 and 0."""

    def is_satisfied_by(self, val):
        return not isinstance(val, bool) and super().is_satisfied_by(val)


def integers(low):
    """Integers of at least `low`."""
    return _Number(Integral, low, None, closed="left")


def reals(low, high=None, *, closed, not_int=False):
    """Finite floats, and with them integers unless `not_int`, between two bounds."""
    return _Number(RealNotInt if not_int else Real, low, high, closed=closed)


class _OneOf(StrOptions):
    """One of some names, listed in the order in which they are given; the order of a set differs between processes."""

    def __init__(self, names):
        super().__init__(set(names))
        self._names = tuple(names)

    def __str__(self):
        return f"a str among {{{', '.join(map(repr, self._names))}}}"


def one_of(*names):
    """Strings that are one of `names`."""
    return _OneOf(names)


def column_indices(X, key):
    """Return the indices of columns of a frame or an array, given as in `ColumnTransformer`."""
    of_names = isinstance(key, slice) and any(isinstance(end, str) for end in (key.start, key.stop))
    if of_names and key.step not in (None, 1):
        # Older releases of scikit-learn ignore it.
        raise NotImplementedError("the step of a slice of names must be 1 or None.")
    # An array has no names at which an open slice could start.
    return _get_column_indices(X, slice(0, None) if isinstance(key, slice) and key == slice(None) else key)


def in_input_container(estimator, values, X):
    """Return rows like the estimator's input in the container that `set_output` asks for, with the index of X."""
    adapter = _get_container_adapter("transform", estimator)
    if adapter is None:
        return values
    return adapter.create_container(values, X, columns=feature_names_in(estimator))


def output_container(estimator):
    """Return the container that `set_output` asks for: "default", "pandas" or "polars"."""
    return _get_output_config("transform", estimator)["dense"]


def is_missing(value):
    """Return whether a value stands for a missing one: NaN, None or pandas.NA."""
    return value is None or is_scalar_nan(value) or is_pandas_na(value)


def is_pandas_frame(X):
    """Return whether X is a pandas frame."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def some_rows(X, rows):
    """Return a slice of the rows of X in the container that X is; CSR if it is sparse."""
    if issparse(X):
        return X.tocsr()[rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def in_container_of(X, values):
    """Return values of the shape of X: in a frame with its names and index if X is a pandas or polars frame."""
    adapter = _adapter_of(X)
    return values if adapter is None else adapter.create_container(values, X, columns=X.columns)


def to_frame(values, columns, X):
    """Return values in a frame of the kind of X, with its index, or in a pandas frame if X is none."""
    adapter = _adapter_of(X) or ADAPTERS_MANAGER.adapters["pandas"]
    check_library_installed(adapter.container_lib)
    return adapter.create_container(values, X, columns=columns)


def _adapter_of(X):
    """Return what makes frames of the kind of X, or None if X is no frame that scikit-learn makes."""
    try:
        return _get_adapter_from_container(X) if hasattr(X, "columns") else None
    except ValueError:
        return None
