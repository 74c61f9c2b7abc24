"""The base of the losses, and the losses that take every entry on its own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.special import entr, kl_div, rel_entr, xlogy

from skae.activations import ACTIVATIONS, SMALLEST, Activation, Exponential

# Scalers overshoot the ends of their range by rounding.
RANGE_TOLERANCE = 1e-6


class Loss(ABC):
    """Base of the losses: l(x, x^) of one row, summed over its features, where x^ = link(raw).

    The loss owns the output: no other part of the package applies the link or asks for it. What is one number here may
    be an array of shape (n_features,) in a loss that differs by column.

    Attributes
    ----------
    link : Activation
        Maps the decoder's raw output to the reconstruction.

    links : tuple of str
        Names of the activations that may be the link, besides the canonical one.

    takes_any_unit : bool
        Whether X may be centred and scaled.

    raw_unit : float
        Unit of the raw output, besides its `raw_scale`. A smaller unit means more weight decay on the last layer.
    """

    link: Activation
    links: ClassVar[tuple] = ()
    takes_any_unit: ClassVar[bool] = False
    raw_unit: ClassVar[float] = 1.0

    # The output.

    def predict(self, raw):
        """Replace the raw output by the reconstruction, in place, and return it."""
        return self.link.forward(raw)

    def raw_output(self, reconstruction):
        """Return the raw output that gives a reconstruction; values outside the range are moved just inside."""
        return self.link.inverse(reconstruction)

    @property
    def bounds(self):
        """Infimum and supremum of the reconstructions."""
        return self.link.bounds

    def raw_scale(self, scale):
        """Return the scale of the raw output, given that of X: the same if reconstructions are proportional to it."""
        return scale if self.link.homogeneous else 1.0

    @property
    def least_squares_weights(self):
        """Weights of the columns if the loss is half the weighted squared error of the raw output, None otherwise."""
        return None

    @property
    def is_least_squares(self):
        """Whether the loss is half the squared error of the raw output itself, with no weights."""
        return bool(np.all(self.least_squares_weights == 1))

    # The columns.

    def resolved(self, X):
        """Return the loss for the columns of X, a frame or an array."""
        return self

    @property
    def declared(self):
        """What to pass as the parameter `loss` for this loss, whatever the columns of X are called."""
        return self

    def balanced(self, gains):
        """Return the loss with its parts balanced, given a function that returns the columns' gains, (n_features,)."""
        return self

    def n_variables(self, n_columns):
        """Return how many variables the columns stand for."""
        return n_columns

    # The loss.

    @abstractmethod
    def loss_gradient(self, target, raw, gradient_out):
        """Return the rows' losses, (n_rows,), and write dl/draw, (n_rows, n_features), into `gradient_out`.

        `raw` may be overwritten; `gradient_out` shares memory with neither argument.
        """

    def weighted_loss_gradient(self, target, raw, entry_weights, gradient_out):
        """Do what `loss_gradient` does with weights of the entries, (n_rows, n_features)."""
        losses = np.einsum("ij,ij->i", entry_weights, self.entries(target, raw))
        self.loss_gradient(target, raw, gradient_out)
        gradient_out *= entry_weights
        return losses

    def curvature(self, target, raw):
        """Return the diagonal of the Gauss-Newton matrix in the raw output, (n_rows, n_features).

        That is what the loss's curvature is on average over the distribution that the output stands for. It guides
        the steps of a search and has no influence on where that ends. The default is the square of the gradient.
        """
        gradient = np.empty_like(raw)
        self.loss_gradient(target, raw.copy(), gradient)
        gradient *= gradient
        return gradient

    @abstractmethod
    def entries(self, target, raw):
        """Return the loss entry by entry, (n_rows, n_features)."""

    @abstractmethod
    def divergence(self, target, mean):
        """Return l(x, mean) - l(x, x) entry by entry: the excess of a constant reconstruction over a perfect one."""

    def perfect(self, target):
        """Return the losses of perfect reconstructions, l(x, x), (n_rows,)."""
        return self.entries(target, self.raw_output(target)).sum(axis=1)

    def shifted(self, origin):
        """Return the loss as a function of differences from an origin, that origin and its raw output.

        Values that are far from zero and differ by little would cost `loss_gradient` its digits. The loss returned
        takes targets less the origin, (n_features,), and raw outputs less that of the origin. Zeros are returned if the
        loss has no such form.
        """
        zeros = np.zeros_like(origin)
        return self, zeros, zeros

    def omitted(self, target):
        """Return the terms of the rows' losses, (n_rows,), that `loss_gradient` leaves out: of the targets alone."""
        return np.zeros(len(target))

    def check_targets(self, X):  # noqa: B027 - most losses take any finite input
        """Raise ValueError if X holds values for which the loss is not defined."""


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared error, l = 1/2 sum_k (x^_k - x_k)^2: a Gaussian input with identity covariance.

    Parameters
    ----------
    link : Activation, default=Identity()
        Any activation.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.losses import SquaredError
    >>> SquaredError().entries(np.array([[1.0, 2.0]]), np.array([[0.0, 2.0]]))
    array([[0.5, 0. ]])
    """

    link: Activation = ACTIVATIONS["identity"]
    links: ClassVar[tuple] = tuple(ACTIVATIONS)
    takes_any_unit: ClassVar[bool] = True

    @property
    def least_squares_weights(self):
        return 1.0 if self.link == ACTIVATIONS["identity"] else None

    def loss_gradient(self, target, raw, gradient_out):
        output = self.link.forward(raw)
        np.subtract(output, target, out=gradient_out)
        losses = 0.5 * np.einsum("ij,ij->i", gradient_out, gradient_out)
        self.link.backward(output, gradient_out)
        return losses

    def curvature(self, target, raw):
        slope = self.link.derivative(self.link.forward(raw.copy()))
        slope *= slope
        return slope

    def entries(self, target, raw):
        residual = self.link.forward(raw.copy())
        residual -= target
        residual *= residual
        residual *= 0.5
        return residual

    def divergence(self, target, mean):
        return 0.5 * (target - mean) ** 2

    def perfect(self, target):
        return np.zeros(len(target))

    def shifted(self, origin):
        return (self, origin, origin) if self.is_least_squares else super().shifted(origin)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy, l = -sum_k [x_k log x^_k + (1 - x_k) log(1 - x^_k)]: a Bernoulli input, or one between 0 and 1.

    Computed from the raw output a as max(a, 0) - a x + log(1 + exp(-abs(a))), whose gradient is logistic(a) - x.

    Parameters
    ----------
    link : Activation, default=Logistic()
        The logistic activation.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.losses import CrossEntropy
    >>> CrossEntropy().entries(np.array([[1.0, 0.5]]), np.array([[0.0, 0.0]])).round(3)
    array([[0.693, 0.693]])
    """

    link: Activation = ACTIVATIONS["logistic"]
    links: ClassVar[tuple] = ("logistic",)

    def loss_gradient(self, target, raw, gradient_out):
        scratch = gradient_out
        np.abs(raw, out=scratch)
        np.negative(scratch, out=scratch)
        np.exp(scratch, out=scratch)
        losses = np.log1p(scratch, out=scratch).sum(axis=1)
        losses += np.maximum(raw, 0, out=scratch).sum(axis=1)
        losses -= np.einsum("ij,ij->i", raw, target)
        gradient_out[...] = raw
        self.link.forward(gradient_out)
        gradient_out -= target
        return losses

    def curvature(self, target, raw):
        return self.link.derivative(self.link.forward(raw.copy()))

    def entries(self, target, raw):
        return np.maximum(raw, 0) - raw * target + np.log1p(np.exp(-np.abs(raw)))

    def divergence(self, target, mean):
        target, mean = np.clip(target, 0, 1), np.clip(mean, 0, 1)
        return rel_entr(target, mean) + rel_entr(1 - target, 1 - mean)

    def perfect(self, target):
        target = np.clip(target, 0, 1)
        return (entr(target) + entr(1 - target)).sum(axis=1)

    def check_targets(self, X):
        low, high = X.min(), X.max()
        if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
            negative = "Negative values in data: " if low < 0 else ""
            raise ValueError(
                f"{negative}loss='cross_entropy' needs values in [0, 1], but X ranges from {low:.6g} to {high:.6g}. "
                "Scale X (MinMaxScaler(clip=True)), or choose loss='squared_error'."
            )


@dataclass(frozen=True)
class Poisson(Loss):
    """Poisson loss, l = sum_k [x^_k - x_k log x^_k]: counts.

    With x^ = exp(a) this is exp(a) - x a, whose gradient is exp(a) - x.

    Parameters
    ----------
    link : Activation, default=Exponential()
        The exponential.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.losses import Poisson
    >>> Poisson().entries(np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])).round(3)
    array([[1.   , 2.718]])
    """

    link: Activation = field(default_factory=Exponential)
    # A raw output that is a little too large on a new row gives a huge reconstruction.
    raw_unit = 0.03

    def loss_gradient(self, target, raw, gradient_out):
        np.exp(raw, out=gradient_out)
        losses = gradient_out.sum(axis=1)
        losses -= np.einsum("ij,ij->i", raw, target)
        gradient_out -= target
        return losses

    def curvature(self, target, raw):
        return np.exp(raw)

    def entries(self, target, raw):
        rate = np.exp(raw)
        return np.where(np.isinf(rate), rate, rate - target * raw)

    def divergence(self, target, mean):
        return kl_div(target, mean)

    def perfect(self, target):
        return (target - xlogy(target, target)).sum(axis=1)

    def shifted(self, origin):
        if not origin.any():
            return self, origin, origin
        return _ShiftedPoisson(origin=origin), origin, self.raw_output(origin)

    def check_targets(self, X):
        low = X.min()
        if low < 0:
            raise ValueError(
                f"Negative values in data: loss='poisson' needs values of at least 0, but X has {low:.6g}. "
                "Choose loss='squared_error' for data that is not counts."
            )


@dataclass(frozen=True, eq=False)
class _ShiftedPoisson(Poisson):
    """The Poisson loss less that of a constant rate mu: mu (exp(d) - 1 - d) - (x - mu) d at the raw output log(mu) + d.

    Its gradient is mu (exp(d) - 1) - (x - mu).
    """

    origin: np.ndarray = field(kw_only=True)
    __eq__, __hash__ = object.__eq__, object.__hash__

    @property
    def _rate(self):
        return np.maximum(self.origin, SMALLEST)

    def loss_gradient(self, target, raw, gradient_out):
        rate = self._rate.astype(raw.dtype)
        np.expm1(raw, out=gradient_out)
        losses = gradient_out @ rate
        losses -= raw @ rate
        losses -= np.einsum("ij,ij->i", raw, target)
        gradient_out *= rate
        gradient_out -= target
        return losses

    def curvature(self, target, raw):
        return self._rate.astype(raw.dtype) * np.exp(raw)

    def omitted(self, target):
        return self._rate.sum() - target @ np.log(self._rate)
