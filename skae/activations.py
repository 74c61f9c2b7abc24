"""Activation functions, with their derivatives written in terms of the output."""

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import logit

# Outputs this close to the end of an activation's range are moved inside it before they are inverted. Towards an
# unbounded side there is no scale to measure "close" by, so there it is the smallest number that float32 holds.
_MARGIN = 1e-6
SMALLEST = float(np.finfo(np.float32).tiny)


class Activation(ABC):
    """An elementwise function A = g(Z).

    Both derivatives are functions of the output A, so that a backward pass needs no pre-activations.

    Attributes
    ----------
    bounds : tuple of float
        Infimum and supremum of the outputs.

    homogeneous : bool
        Whether g(cZ) = c g(Z) for every c > 0, so that the output has the unit of the input.
    """

    bounds = (-np.inf, np.inf)
    homogeneous = False

    @property
    def is_bounded(self):
        """Whether outputs lie between two finite bounds."""
        return bool(np.isfinite(self.bounds).all())

    def __repr__(self):
        return f"{type(self).__name__}()"

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return hash(type(self))

    @abstractmethod
    def forward(self, Z):
        """Replace Z by g(Z), in place, and return it."""

    @abstractmethod
    def derivative(self, A):
        """Return g'(Z) as a new array."""

    @abstractmethod
    def second_derivative(self, A):
        """Return g''(Z) as a new array."""

    @abstractmethod
    def inverse(self, A):
        """Return the Z that gives A; values outside the open range give the Z of a point just inside."""

    def backward(self, A, delta):
        """Multiply delta by g'(Z) in place: the gradient for A becomes the one for Z. A is used up as scratch."""
        delta *= self.derivative(A)


class Identity(Activation):
    """g(z) = z."""

    homogeneous = True

    def forward(self, Z):
        return Z

    def derivative(self, A):
        return np.ones_like(A)

    def second_derivative(self, A):
        return np.zeros_like(A)

    def inverse(self, A):
        return np.array(A)

    def backward(self, A, delta):
        pass


class Logistic(Activation):
    """g(z) = 1 / (1 + exp(-z)), with g' = g (1 - g) and g'' = g' (1 - 2 g)."""

    bounds = (0.0, 1.0)

    def forward(self, Z):
        # Through tanh, which NumPy vectorises; expit costs an order of magnitude more.
        Z *= 0.5
        np.tanh(Z, out=Z)
        Z *= 0.5
        Z += 0.5
        return Z

    def derivative(self, A):
        slope = 1 - A
        slope *= A
        return slope

    def second_derivative(self, A):
        return A * (1 - A) * (1 - 2 * A)

    def backward(self, A, delta):
        delta *= A
        delta *= np.subtract(1, A, out=A)

    def inverse(self, A):
        return logit(np.clip(A, _MARGIN, 1 - _MARGIN))


class Tanh(Activation):
    """g(z) = tanh(z), with g' = 1 - g^2 and g'' = -2 g g'."""

    bounds = (-1.0, 1.0)

    def forward(self, Z):
        return np.tanh(Z, out=Z)

    def derivative(self, A):
        slope = A * A
        return np.subtract(1, slope, out=slope)

    def second_derivative(self, A):
        return -2 * A * (1 - A * A)

    def backward(self, A, delta):
        A *= A
        delta *= np.subtract(1, A, out=A)

    def inverse(self, A):
        return np.arctanh(np.clip(A, _MARGIN - 1, 1 - _MARGIN))


class Relu(Activation):
    """g(z) = max(z, 0), with g'(0) = 0."""

    bounds = (0.0, np.inf)
    homogeneous = True

    def forward(self, Z):
        return np.maximum(Z, 0, out=Z)

    def derivative(self, A):
        return (A > 0).astype(A.dtype)

    def second_derivative(self, A):
        return np.zeros_like(A)

    def backward(self, A, delta):
        delta *= np.sign(A, out=A)

    def inverse(self, A):
        # Positive also where A is zero: a unit that starts at the kink never moves.
        return np.maximum(A, SMALLEST)


class Softplus(Activation):
    """g(z) = log(1 + exp(z)), with g' = 1 - exp(-g) and g'' = g' (1 - g')."""

    bounds = (0.0, np.inf)

    def forward(self, Z):
        tail = np.abs(Z)
        np.negative(tail, out=tail)
        np.exp(tail, out=tail)
        np.log1p(tail, out=tail)
        np.maximum(Z, 0, out=Z)
        Z += tail
        return Z

    def derivative(self, A):
        return -np.expm1(-A)

    def second_derivative(self, A):
        return -np.expm1(-A) * np.exp(-A)

    def backward(self, A, delta):
        np.negative(A, out=A)
        np.expm1(A, out=A)
        delta *= np.negative(A, out=A)

    def inverse(self, A):
        A = np.maximum(A, SMALLEST)
        return A + np.log(-np.expm1(-A))


ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": Relu(),
    "softplus": Softplus(),
}
