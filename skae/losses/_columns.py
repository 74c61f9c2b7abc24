"""A loss per column: what a user declares, and the loss that it becomes for the columns of an X."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skae._compat import InvalidParameterError, column_indices, feature_names, reals
from skae.losses._elementwise import Loss
from skae.losses._registry import LOSSES, make_loss

_WEIGHT = reals(0, closed="neither")


@dataclass(frozen=True)
class ColumnLosses:
    """A loss per column, for tables of numbers, counts and categories side by side.

    The losses of the columns add up. So that none of them drowns the others, each entry is multiplied by the number of
    its variables (its columns, or 1 for "categorical") over its gain: the mean loss of its best constant
    reconstruction, the mean of the columns, less that of a perfect one, over the rows trained on. An entry without gain
    is multiplied by 1. This balances what is reconstructed, not what the encoder sees: columns of large numbers need a
    StandardScaler as ever.

    Parameters
    ----------
    losses : sequence of (loss, columns) or (loss, columns, weight)
        `loss` is a name in `LOSSES`, or an object of `skae.losses`. `columns` are given as in `ColumnTransformer`: a
        name or an index, a sequence of them, a slice, a mask, or a callable of X that returns one of these, such as
        `make_column_selector`; names need a frame. Every column of X belongs to one entry; an entry may have none. One
        "categorical" entry is one variable: the columns of all its categories, of which there are at least two. A row
        of zeros has no loss, so none may be dropped (`OneHotEncoder(drop=...)`). `weight`, above 0, is what the entry
        is multiplied by instead.

    balance : bool, default=True
        Whether entries without a weight are balanced. If False, their weight is 1.

    Raises
    ------
    ValueError
        If an entry is not of this form. In `fit`: if a column is in two entries, in none or not in X; or outside the
        domain of its loss.

    Examples
    --------
    >>> import pandas as pd
    >>> from skae import AutoencoderTransformer
    >>> from skae.losses import ColumnLosses
    >>> X = pd.DataFrame(
    ...     {"age": [-1.2, 0.1, 0.9, 0.2], "visits": [0, 3, 1, 7], "sex_f": [1, 0, 1, 0], "sex_m": [0, 1, 0, 1]}
    ... )
    >>> loss = ColumnLosses(
    ...     [("squared_error", ["age"]), ("poisson", ["visits"]), ("categorical", ["sex_f", "sex_m"])]
    ... )
    >>> autoencoder = AutoencoderTransformer(2, loss=loss, random_state=0).fit(X)
    >>> autoencoder.reconstruct(X)[:, 2:].sum(axis=1).round(6)
    array([1., 1., 1., 1.])
    """

    losses: Sequence
    balance: bool = True

    def __post_init__(self):
        if isinstance(self.losses, str) or not isinstance(self.losses, Sequence) or not self.losses:
            raise InvalidParameterError(
                f"ColumnLosses: losses must be a sequence of (loss, columns) or (loss, columns, weight), got "
                f"{self.losses!r}."
            )
        if not isinstance(self.balance, bool | np.bool_):
            raise InvalidParameterError(f"ColumnLosses: balance must be a bool, got {self.balance!r}.")
        # A value that compares, and that nobody changes.
        object.__setattr__(self, "losses", tuple(map(_entry, self.losses)))

    def resolved(self, X):
        """Return the Loss for the columns of X, a frame or an array; ValueError if one is in two entries or in none."""
        names = feature_names(X)
        names = tuple(range(X.shape[1])) if names is None else tuple(map(str, names))
        parts, owner = [], {}
        for loss, key, *weight in self.losses:
            columns = _columns(X, key, loss)
            for column in columns:
                if column in owner:
                    raise ValueError(
                        f"ColumnLosses: column {names[column]!r} is listed twice, for {owner[column]!r} and for "
                        f"{loss!r}. List it once."
                    )
                owner[column] = loss
            if columns:
                parts.append(Part(make_loss(loss), tuple(columns), *(weight or ([] if self.balance else [1.0]))))
        missing = [name for column, name in enumerate(names) if column not in owner]
        if missing:
            raise ValueError(
                f"ColumnLosses: no loss is given for {_listed(missing)}. Add an entry for every column of X, such as "
                "('squared_error', columns)."
            )
        return LossByColumn(tuple(parts), names)


def _entry(entry):
    """Return a checked entry of ColumnLosses, with lists and arrays as tuples."""
    if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) not in (2, 3):
        raise InvalidParameterError(
            f"ColumnLosses: an entry must be (loss, columns) or (loss, columns, weight), got {entry!r}."
        )
    loss, columns, *weight = entry
    if not (isinstance(loss, Loss) or (isinstance(loss, str) and loss in LOSSES)):
        raise InvalidParameterError(
            f"ColumnLosses: a loss must be one of {', '.join(map(repr, LOSSES))} or an object of skae.losses, got "
            f"{loss!r}."
        )
    if weight and not _WEIGHT.is_satisfied_by(weight[0]):
        raise InvalidParameterError(f"ColumnLosses: the weight of {loss!r} must be a float above 0, got {weight[0]!r}.")
    columns = columns.tolist() if hasattr(columns, "tolist") else columns
    return loss, tuple(columns) if isinstance(columns, list) else columns, *map(float, weight)


def _columns(X, key, loss):
    """Return the indices of the columns of X that an entry is for."""
    key = key(X) if callable(key) else key
    try:
        return column_indices(X, key)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"ColumnLosses: the columns {key!r} of {loss!r} are not those of X: {error}") from error


def _name_of(loss):
    """Return the name of a loss if it has one, else itself."""
    return next((name for name, named in LOSSES.items() if loss == named()), loss)


def _listed(names):
    """Return the first names in words."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more columns" if len(names) > 5 else "")


@dataclass(frozen=True)
class Part:
    """A loss for some of the columns.

    Attributes
    ----------
    loss : Loss

    columns : tuple of int
        Indices.

    weight : float or None
        The factor that was given, or None: the loss is balanced.

    factor : float
        What the loss is multiplied by. It is left out of comparisons: a warm start may go on with other rows.

    spread : float or None
        Root of twice the mean gain of a column: for squared error the columns' root mean square about their means.

    at : slice or list of int
        What selects the columns: a slice if they are neighbours, so that arrays are not copied.
    """

    loss: Loss
    columns: tuple
    weight: float | None = None
    factor: float = field(default=1.0, compare=False)
    spread: float | None = field(default=None, compare=False)
    at: slice | list = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        first, last = self.columns[0], self.columns[-1]
        are_neighbours = self.columns == tuple(range(first, last + 1))
        object.__setattr__(self, "at", slice(first, last + 1) if are_neighbours else list(self.columns))

    @property
    def n_variables(self):
        return self.loss.n_variables(len(self.columns))

    def balanced(self, gain):
        """Return the part, given its gain."""
        factor = (self.n_variables / gain if gain > 0 else 1.0) if self.weight is None else self.weight
        spread = float(np.sqrt(2 * gain / len(self.columns))) if gain > 0 else None
        return replace(self, factor=float(factor), spread=spread)


@dataclass(frozen=True, repr=False)
class LossByColumn(Loss):
    """The sum of the losses of parts of the columns, each times its factor.

    Parameters
    ----------
    parts : tuple of Part

    names : tuple
        Names of the columns, or indices.
    """

    parts: tuple[Part, ...]
    names: tuple = field(compare=False)

    def __repr__(self):
        return repr(self.declared)

    @property
    def declared(self):
        """The ColumnLosses that gives this loss, with its factors as weights."""
        return ColumnLosses(
            [(_name_of(part.loss), [self.names[column] for column in part.columns], part.factor) for part in self.parts]
        )

    def balanced(self, gains):
        of_columns = gains()
        return replace(self, parts=tuple(part.balanced(of_columns[part.at].sum()) for part in self.parts))

    # One value a column.

    def _by_column(self, value_of):
        values = np.empty(len(self.names))
        for part in self.parts:
            values[part.at] = value_of(part)
        return values

    @property
    def bounds(self):
        return tuple(self._by_column(lambda part, end=end: part.loss.bounds[end]) for end in (0, 1))

    @property
    def takes_any_unit(self):
        return self._by_column(lambda part: part.loss.takes_any_unit) == 1

    @property
    def raw_unit(self):
        return self._by_column(lambda part: part.loss.raw_unit)

    def raw_scale(self, scale):
        return self._by_column(lambda part: part.loss.raw_scale(part.spread or scale))

    @property
    def least_squares_weights(self):
        if any(part.loss.least_squares_weights is None for part in self.parts):
            return None
        return self._by_column(lambda part: part.factor * part.loss.least_squares_weights)

    # One array a part.

    def _by_part(self, like, array_of):
        result = np.empty_like(like)
        for part in self.parts:
            result[..., part.at] = array_of(part)
        return result

    def predict(self, raw):
        for part in self.parts:
            raw[:, part.at] = part.loss.predict(raw[:, part.at])
        return raw

    def raw_output(self, reconstruction):
        return self._by_part(reconstruction, lambda part: part.loss.raw_output(reconstruction[..., part.at]))

    def loss_gradient(self, target, raw, gradient_out):
        def of_part(part, out):
            return part.loss.loss_gradient(target[:, part.at], raw[:, part.at], out)

        return self._loss_gradient(gradient_out, of_part)

    def weighted_loss_gradient(self, target, raw, entry_weights, gradient_out):
        def of_part(part, out):
            at = part.at
            return part.loss.weighted_loss_gradient(target[:, at], raw[:, at], entry_weights[:, at], out)

        return self._loss_gradient(gradient_out, of_part)

    def _loss_gradient(self, gradient_out, of_part):
        losses = 0.0
        for part in self.parts:
            gradient = gradient_out[:, part.at]
            losses = losses + part.factor * of_part(part, gradient)
            gradient *= part.factor
            gradient_out[:, part.at] = gradient
        return losses

    def entries(self, target, raw):
        return self._by_part(raw, lambda part: part.factor * part.loss.entries(target[:, part.at], raw[:, part.at]))

    def curvature(self, target, raw):
        return self._by_part(raw, lambda part: part.factor * part.loss.curvature(target[:, part.at], raw[:, part.at]))

    def divergence(self, target, mean):
        return self._by_part(target, lambda part: part.factor * part.loss.divergence(target[:, part.at], mean[part.at]))

    def perfect(self, target):
        return sum(part.factor * part.loss.perfect(target[:, part.at]) for part in self.parts)

    def omitted(self, target):
        return sum(part.factor * part.loss.omitted(target[:, part.at]) for part in self.parts)

    def shifted(self, origin):
        shifted = [part.loss.shifted(origin[part.at]) for part in self.parts]
        parts = tuple(replace(part, loss=loss) for part, (loss, _, _) in zip(self.parts, shifted, strict=True))
        origins = np.zeros((2, len(origin)))
        for part, (_, *pair) in zip(parts, shifted, strict=True):
            origins[:, part.at] = pair
        return replace(self, parts=parts), *origins

    def check_targets(self, X):
        for part in self.parts:
            try:
                part.loss.check_targets(X[:, part.at])
            except ValueError as error:
                raise ValueError(f"{error} The values are those of {self._offending(part, X)}.") from error

    def _offending(self, part, X):
        """Return, in words, the columns of a part that its loss does not take: one, unless they belong together."""
        if part.n_variables == len(part.columns):
            for column in part.columns:
                try:
                    part.loss.check_targets(X[:, [column]])
                except ValueError:
                    return f"column {self.names[column]!r}"
        return f"the columns {_listed([self.names[column] for column in part.columns])}"
