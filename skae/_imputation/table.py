"""The columns of a table as columns of numbers, and back.

A number is standardised on the observed entries. Two levels are one column, more are one column each, of zeros and
ones. A missing entry is NaN in all its columns.

The linear autoencoder sees levels centred and divided by one number, so that all columns of a group together have
variance one, and beside each number its standardised rank: a relation that is monotone but not linear is then nearly
linear in one of the two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skae._compat import is_pandas_frame
from skae.losses import ColumnLosses

# Values at which the ranks of a column of numbers are kept; between them they are interpolated.
_KNOTS = 100


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    mean, spread : float
        Of the observed entries.

    limits : tuple of (float, float) or None
        Of a column of integers, its smallest and its largest.

    ranks : tuple of (ndarray, ndarray) or None
        Values and their standardised ranks.
    """

    mean: float
    spread: float
    limits: tuple[float, float] | None
    ranks: tuple[np.ndarray, np.ndarray] | None
    loss = "squared_error"

    @classmethod
    def of(cls, values, weights, is_integer, is_linear):
        # A power of two leaves every digit, and the squares do not overflow.
        exponent = np.frexp(np.abs(values).max())[1]
        scaled = np.ldexp(values, -exponent)
        # The mean of equal values may differ from them by its rounding.
        is_constant = values.min() == values.max()
        mean = scaled[0] if is_constant else np.average(scaled, weights=weights)
        spread = 0.0 if is_constant else np.sqrt(np.average((scaled - mean) ** 2, weights=weights))
        limits = (values.min(), values.max()) if is_integer else None
        ranks = _standardised_ranks(values, weights) if is_linear else None
        return cls(float(np.ldexp(mean, exponent)), float(np.ldexp(spread, exponent)) or 1.0, limits, ranks)

    @property
    def width(self):
        return 1 if self.ranks is None else 2

    @property
    def filling(self):
        return self.mean

    @property
    def start(self):
        return np.zeros(self.width)

    def encode(self, values):
        columns = [(values - self.mean) / self.spread]
        if self.ranks is not None:
            columns.append(np.interp(values, *self.ranks))
        return np.column_stack(columns)

    def decode(self, columns):
        values = columns[:, 0] * self.spread + self.mean
        return values if self.limits is None else np.clip(np.rint(values), *self.limits)


def _standardised_ranks(values, weights):
    """Return some of the values and their standardised mid-ranks; None if there are at most two values.

    The ranks of two values are a linear function of them, and say nothing more.
    """
    knots, numbers = np.unique(values, return_inverse=True)
    if len(knots) < 3:
        return None
    shares = np.bincount(numbers, weights) / weights.sum()
    ranks = np.cumsum(shares) - shares / 2 - 0.5
    ranks /= np.sqrt(shares @ ranks**2)
    kept = np.unique(np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _KNOTS)))
    return knots[kept], ranks[kept]


@dataclass(frozen=True, eq=False)
class Levels:
    """A column of categories.

    Attributes
    ----------
    levels : ndarray of object, of shape (n_levels,)
        Those observed in fit.

    shares : ndarray of shape (width,)
        Their shares; of two levels that of the second alone.

    centre : ndarray of shape (width,)

    spread : float
    """

    levels: np.ndarray
    shares: np.ndarray
    centre: np.ndarray
    spread: float

    @classmethod
    def of(cls, values, weights, is_linear):
        levels = np.array(sorted(set(values), key=lambda level: (type(level).__name__, level)), dtype=object)
        shares = np.array([weights[values == level].sum() for level in levels]) / weights.sum()
        shares = shares[1:] if len(levels) == 2 else shares
        variance = np.sum(shares * (1 - shares))
        if is_linear and variance > 0:
            return cls(levels, shares, shares, float(np.sqrt(variance)))
        return cls(levels, shares, np.zeros_like(shares), 1.0)

    @property
    def width(self):
        return len(self.shares)

    @property
    def loss(self):
        return "cross_entropy" if self.width == 1 else "categorical"

    @property
    def filling(self):
        return self.decode(self.start[None])[0]

    @property
    def start(self):
        return (self.shares - self.centre) / self.spread

    def encode(self, values):
        is_level = values[:, None] == self.levels
        is_known = is_level.any(axis=1, keepdims=True)
        return np.where(is_known, (is_level[:, -self.width :] - self.centre) / self.spread, np.nan)

    def decode(self, columns):
        shares = columns * self.spread + self.centre
        return self.levels[(shares[:, 0] > 0.5).astype(int) if len(self.levels) == 2 else shares.argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table that was fitted.

    Attributes
    ----------
    columns : tuple of Numbers, Levels or None
        None for a column without observed entries.

    names : tuple
        Names of the columns, or their indices.

    kept : ndarray of int
        Indices of the columns that an imputer returns.
    """

    columns: tuple[Any, ...]
    names: tuple
    kept: np.ndarray

    @classmethod
    def of(cls, X, missing, weights, keep_empty, is_linear):
        """Return the table of X, for the linear autoencoder or for others."""
        columns, names = [], []
        for j, column in enumerate(read(X, missing)):
            names.append(column.name)
            seen = ~missing[:, j]
            if not seen.any():
                columns.append(None)
                if keep_empty and not column.is_number:
                    raise ValueError(
                        f"Column {column.name!r} of X has no observed entry, so there is no category to fill in. Drop "
                        "it, or set keep_empty_features=False."
                    )
            elif column.is_number:
                columns.append(Numbers.of(column.values[seen], weights[seen], column.is_integer, is_linear))
            else:
                try:
                    columns.append(Levels.of(column.values[seen], weights[seen], is_linear))
                except TypeError as error:
                    raise ValueError(
                        f"Column {column.name!r} of X holds values that are no categories: {error}. Convert it to "
                        "numbers or strings, or drop it."
                    ) from error
        observed = [j for j, column in enumerate(columns) if column is not None]
        if not observed:
            raise ValueError("Input X has no observed entry: all of its entries are missing.")
        return cls(tuple(columns), tuple(names), np.arange(len(columns)) if keep_empty else np.array(observed))

    @property
    def _observed(self):
        return [(j, column) for j, column in enumerate(self.columns) if column is not None]

    @property
    def owners(self):
        """The index of the table's column that each column of numbers is of."""
        return np.repeat(*np.transpose([(j, column.width) for j, column in self._observed]))

    @property
    def start(self):
        """The first filling of each column of numbers."""
        return np.concatenate([column.start for _, column in self._observed])

    @property
    def losses(self):
        """The loss of each column of numbers, by kind."""
        owners = self.owners
        return ColumnLosses([(column.loss, np.flatnonzero(owners == j)) for j, column in self._observed])

    @property
    def categories(self):
        """Names of the columns of categories."""
        return [self.names[j] for j, column in self._observed if isinstance(column, Levels)]

    @property
    def fillings(self):
        """The first filling of each column, NaN if it has no observed entry."""
        values = [np.nan if column is None else column.filling for column in self.columns]
        return np.array(values, dtype=object if self.categories else np.float64)

    def encode(self, X, missing):
        """Return X as columns of numbers, NaN where an entry is missing or its level is unknown."""
        blocks = []
        for j, (fitted, given) in enumerate(zip(self.columns, read(X, missing), strict=True)):
            if fitted is not None:
                values = self._of_kind(j, given, missing[:, j])
                blocks.append(np.where(missing[:, j, None], np.nan, fitted.encode(values)))
        return np.concatenate(blocks, axis=1)

    def _of_kind(self, j, given, missing):
        """Return the values of a column; ValueError if they are numbers and fit had categories there, or vice versa."""
        is_number = isinstance(self.columns[j], Numbers)
        if missing.all():
            return np.full(len(missing), np.nan if is_number else None)
        if given.is_number == is_number:
            return given.values
        found, expected = ("categories", "numbers") if is_number else ("numbers", "categories")
        raise ValueError(
            f"Column {self.names[j]!r} of X holds {found}, such as {given.values[~missing][0]!r}, but held {expected} "
            f"in fit. Convert it to {expected}."
        )

    def unknown(self, Z):
        """Return a mask of the table's entries that are NaN in the columns of numbers."""
        unknown = np.zeros((len(Z), len(self.columns)), dtype=bool)
        unknown[:, self.owners] = np.isnan(Z)
        return unknown

    def complete(self, X, missing, filled):
        """Return the columns of X that are kept, with the missing entries as `filled` has them as numbers."""
        is_frame, owners = is_pandas_frame(X), self.owners
        result = X.copy()
        for j in np.flatnonzero(missing.any(axis=0)):
            rows = np.flatnonzero(missing[:, j])
            fitted = self.columns[j]
            values = np.zeros(len(rows)) if fitted is None else fitted.decode(filled[np.ix_(rows, owners == j)])
            if is_frame:
                result.isetitem(j, _filled(X.iloc[:, j], rows, values, not isinstance(fitted, Levels)))
            else:
                result[rows, j] = values
        return result.iloc[:, self.kept] if is_frame else result[:, self.kept]


def _filled(column, rows, values, is_number):
    """Return a copy of a pandas column with other values in some of its rows, in its dtype if that can hold them."""
    values, kind = type(column)(values), column.dtype.kind
    if hasattr(column, "cat"):
        known = column.cat.categories
        column = column.cat.add_categories([level for level in values.unique() if level not in known])
    elif (kind in "iuf") != is_number or (kind == "b" and not all(isinstance(level, bool) for level in values)):
        column = column.astype(object)
    result = column.copy()
    result.iloc[rows] = values.astype(column.dtype).array
    return result


@dataclass(frozen=True, eq=False)
class Column:
    """A column as it is given; its missing numbers are NaN."""

    name: Any
    values: np.ndarray
    is_number: bool = True
    is_integer: bool = False


def read(X, missing):
    """Yield the columns of an array or a pandas frame."""
    for j in range(X.shape[1]):
        if not is_pandas_frame(X):
            yield Column(j, np.where(missing[:, j], np.nan, X[:, j]).astype(np.float64))
            continue
        column = X.iloc[:, j]
        kind = getattr(column.dtype, "kind", "O")
        if kind in "iuf":
            values = column.mask(missing[:, j]).to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                raise ValueError(
                    f"Input X contains infinity or a value too large for float64, in column {column.name!r}."
                )
            yield Column(column.name, values, is_integer=kind in "iu")
        elif kind in "mMc":
            raise ValueError(
                f"Column {column.name!r} of X has dtype {column.dtype}. Columns are numbers, booleans or categories "
                "(strings, objects, pandas categoricals): convert it, for example with astype(float), or drop it."
            )
        else:
            values = np.where(missing[:, j], None, column.to_numpy(dtype=object))
            yield Column(column.name, values, is_number=False)
