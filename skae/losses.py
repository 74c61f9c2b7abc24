"""Reconstruction losses: minus the log-likelihood of the input given the decoder's raw output.

The recipe for a further type of input: choose its distribution given the mean, tie the mean to the raw
output by a link, and take minus the logarithm.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.special import entr, kl_div, rel_entr, xlogy

from skae.activations import ACTIVATIONS, SMALLEST, Activation

# Scalers overshoot the ends of their range by rounding.
_RANGE_TOLERANCE = 1e-6


class Exponential(Activation):
    """g(z) = exp(z), the Poisson loss's link."""

    bounds = (0.0, np.inf)

    def forward(self, Z):
        return np.exp(Z, out=Z)

    def derivative(self, A):
        return np.array(A)

    def second_derivative(self, A):
        return np.array(A)

    def inverse(self, A):
        return np.log(np.maximum(A, SMALLEST))


_EXPONENTIAL = Exponential()


class Loss(ABC):
    """A loss l(x, x^) of one row, summed over its features, where x^ = link(raw).

    Attributes
    ----------
    link : Activation
        From the decoder's raw output to the reconstruction.

    links : tuple of str
        Names of the activations that may be the link, besides the canonical one.

    takes_any_unit : bool
        Whether X may be centred and scaled.

    raw_unit : float
        Unit of the raw output, if the link is not homogeneous: the smaller, the more weight decay the last layer gets.
    """

    link: Activation
    links: ClassVar[tuple] = ()
    takes_any_unit: ClassVar[bool] = False
    raw_unit: ClassVar[float] = 1.0

    @property
    def least_squares(self):
        """Whether the loss is half the squared error of the raw output itself."""
        return False

    @abstractmethod
    def loss_gradient(self, target, raw, gradient_out):
        """Return the rows' losses, (n_rows,), and write dl/draw, (n_rows, n_features), into `gradient_out`.

        `raw` may be overwritten; `gradient_out` shares memory with neither argument.
        """

    @abstractmethod
    def entries(self, target, raw):
        """Return the loss entry by entry, (n_rows, n_features)."""

    @abstractmethod
    def divergence(self, target, mean):
        """Return l(x, mean) - l(x, x) entry by entry: how far a constant reconstruction is from a perfect one."""

    def least(self, target):
        """Return the losses of perfect reconstructions, l(x, x), (n_rows,)."""
        return self.entries(target, self.link.inverse(target)).sum(axis=1)

    def about(self, origin):
        """Return this loss as a function of differences from an origin, and that origin.

        Values far from zero that differ by little would cost `loss_gradient` its digits. That of the loss returned
        takes targets less the origin, (n_features,), and raw outputs less the raw output of the origin. An origin of
        zeros leaves them as they are, and so does a loss that has no such form.
        """
        return self, np.zeros_like(origin)

    def omitted(self, target):
        """Return the terms of the rows' losses, (n_rows,), that `loss_gradient` leaves out: of the targets alone."""
        return np.zeros(len(target))

    def check_targets(self, X):  # noqa: B027 - most losses take any finite input
        """Raise ValueError if X holds values that the loss is not defined for."""


@dataclass(frozen=True)
class SquaredError(Loss):
    """l = 1/2 sum_k (x^_k - x_k)^2: a Gaussian input with identity covariance.

    Parameters
    ----------
    link : Activation, default=Identity()
        Any activation.
    """

    link: Activation = ACTIVATIONS["identity"]
    links: ClassVar[tuple] = tuple(ACTIVATIONS)
    takes_any_unit: ClassVar[bool] = True

    @property
    def least_squares(self):
        return self.link == ACTIVATIONS["identity"]

    def loss_gradient(self, target, raw, gradient_out):
        output = self.link.forward(raw)
        np.subtract(output, target, out=gradient_out)
        losses = 0.5 * np.einsum("ij,ij->i", gradient_out, gradient_out)
        self.link.backward(output, gradient_out)
        return losses

    def entries(self, target, raw):
        residual = self.link.forward(raw.copy())
        residual -= target
        residual *= residual
        residual *= 0.5
        return residual

    def divergence(self, target, mean):
        return 0.5 * (target - mean) ** 2

    def least(self, target):
        return np.zeros(len(target))

    def about(self, origin):
        return (self, origin) if self.least_squares else super().about(origin)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """l = -sum_k [x_k log x^_k + (1 - x_k) log(1 - x^_k)]: a Bernoulli input, or one between 0 and 1.

    Computed from the raw output a as max(a, 0) - a x + log(1 + exp(-abs(a))), whose gradient is logistic(a) - x.
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

    def entries(self, target, raw):
        return np.maximum(raw, 0) - raw * target + np.log1p(np.exp(-np.abs(raw)))

    def divergence(self, target, mean):
        target, mean = np.clip(target, 0, 1), np.clip(mean, 0, 1)
        return rel_entr(target, mean) + rel_entr(1 - target, 1 - mean)

    def least(self, target):
        target = np.clip(target, 0, 1)
        return (entr(target) + entr(1 - target)).sum(axis=1)

    def check_targets(self, X):
        low, high = X.min(), X.max()
        if low < -_RANGE_TOLERANCE or high > 1 + _RANGE_TOLERANCE:
            negative = "Negative values in data: " if low < 0 else ""
            raise ValueError(
                f"{negative}loss='cross_entropy' needs values in [0, 1], but X ranges from {low:.6g} to {high:.6g}. "
                "Scale X (MinMaxScaler(clip=True)), or choose loss='squared_error'."
            )


@dataclass(frozen=True)
class Poisson(Loss):
    """l = sum_k [x^_k - x_k log x^_k]: counts; with x^ = exp(a) this is exp(a) - x a, whose gradient is exp(a) - x."""

    link: Activation = _EXPONENTIAL
    # exp makes a raw output that is a little too large on a new row a huge reconstruction.
    raw_unit = 0.03

    def loss_gradient(self, target, raw, gradient_out):
        np.exp(raw, out=gradient_out)
        losses = gradient_out.sum(axis=1)
        losses -= np.einsum("ij,ij->i", raw, target)
        gradient_out -= target
        return losses

    def entries(self, target, raw):
        rate = np.exp(raw)
        return np.where(np.isinf(rate), rate, rate - target * raw)

    def divergence(self, target, mean):
        return kl_div(target, mean)

    def least(self, target):
        return (target - xlogy(target, target)).sum(axis=1)

    def about(self, origin):
        return (_PoissonAbout(origin=origin), origin) if origin.any() else (self, origin)

    def check_targets(self, X):
        low = X.min()
        if low < 0:
            raise ValueError(
                f"Negative values in data: loss='poisson' needs values of at least 0, but X has {low:.6g}. "
                "Choose loss='squared_error' for data that is not counts."
            )


@dataclass(frozen=True, eq=False)
class _PoissonAbout(Poisson):
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

    def omitted(self, target):
        return self._rate.sum() - target @ np.log(self._rate)


LOSSES = {"squared_error": SquaredError, "cross_entropy": CrossEntropy, "poisson": Poisson}


def make_loss(name, output_activation="auto"):
    """Return the loss of that name; "auto" is its canonical link, any other link must be among its `links`."""
    loss = LOSSES[name]
    if output_activation == "auto":
        return loss()
    if output_activation not in loss.links:
        allowed = ", ".join(repr(link) for link in ("auto", *loss.links))
        raise ValueError(
            f"output_activation={output_activation!r} does not go with loss={name!r}, which works with {allowed}."
        )
    return loss(ACTIVATIONS[output_activation])
