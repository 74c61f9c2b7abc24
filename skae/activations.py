"""Activation functions, with their derivatives as functions of the output.

The parameters `activation` and `code_activation` of the estimators take the names in `ACTIVATIONS`, or an object of one
of these classes, or of a class derived from `Activation`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from scipy.special import logit

__all__ = ["ACTIVATIONS", "Activation", "Exponential", "Identity", "Logistic", "Relu", "Softplus", "Tanh"]

# Outputs this close to the end of an activation's range are moved inside it before they are inverted. An unbounded
# side has no scale that "close" could refer to, so the margin there is the smallest normal number of float32.
_MARGIN = 1e-6
SMALLEST = float(np.finfo(np.float32).tiny)


class Activation(ABC):
    """Base of the activations: an elementwise function A = g(Z).

    All derivatives are functions of the output A, so a backward pass needs no pre-activations. Two objects are equal
    if they have the same class and the same attributes.

    Attributes
    ----------
    bounds : tuple of float
        Infimum and supremum of the outputs.

    homogeneous : bool
        Whether g(cZ) = c g(Z) for every c > 0, so that the output has the unit of the input.
    """

    bounds: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    homogeneous: ClassVar[bool] = False

    @property
    def is_bounded(self):
        """Whether outputs lie between two finite bounds."""
        return bool(np.isfinite(self.bounds).all())

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), *vars(self).items()))

    @abstractmethod
    def forward(self, Z):
        """Replace Z by g(Z), in place, and return it."""

    @abstractmethod
    def derivative(self, A):
        """Return g'(Z) as a new array."""

    @abstractmethod
    def second_derivative(self, A):
        """Return g''(Z) as a new array."""

    def third_derivative(self, A):  # noqa: B027 - not every activation has one
        """Return g'''(Z) as a new array, or None if g has no such derivative everywhere."""

    @abstractmethod
    def inverse(self, A):
        """Return the Z that gives A; values outside the open range give the Z of a point just inside."""

    def backward(self, A, delta):
        """Multiply delta by g'(Z) in place: the gradient for A becomes the one for Z. A is used up as scratch."""
        delta *= self.derivative(A)


def _times_linear(values, by, slope, intercept):
    """Multiply values by slope * by + intercept, in place, and return them."""
    factor = slope * by
    factor += intercept
    values *= factor
    return values


class Identity(Activation):
    """Identity, g(z) = z.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Identity
    >>> Identity().forward(np.array([-1.0, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """

    homogeneous = True

    def forward(self, Z):
        return Z

    def derivative(self, A):
        return np.ones_like(A)

    def second_derivative(self, A):
        return np.zeros_like(A)

    def third_derivative(self, A):
        return np.zeros_like(A)

    def inverse(self, A):
        return np.array(A)

    def backward(self, A, delta):
        pass


class Logistic(Activation):
    """Logistic sigmoid, g(z) = 1 / (1 + exp(-z)), with g' = g (1 - g) and g'' = g' (1 - 2 g).

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Logistic
    >>> Logistic().forward(np.array([-1.0, 0.0, 2.0])).round(3)
    array([0.269, 0.5  , 0.881])
    """

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
        return _times_linear(self.derivative(A), A, -2, 1)

    def third_derivative(self, A):
        slope = self.derivative(A)
        return _times_linear(slope, slope, -6, 1)

    def backward(self, A, delta):
        delta *= A
        delta *= np.subtract(1, A, out=A)

    def inverse(self, A):
        return logit(np.clip(A, _MARGIN, 1 - _MARGIN))


class Tanh(Activation):
    """Hyperbolic tangent, g(z) = tanh(z), with g' = 1 - g^2 and g'' = -2 g g'.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Tanh
    >>> Tanh().forward(np.array([-1.0, 0.0, 2.0])).round(3)
    array([-0.762,  0.   ,  0.964])
    """

    bounds = (-1.0, 1.0)

    def forward(self, Z):
        return np.tanh(Z, out=Z)

    def derivative(self, A):
        slope = A * A
        return np.subtract(1, slope, out=slope)

    def second_derivative(self, A):
        return _times_linear(self.derivative(A), A, -2, 0)

    def third_derivative(self, A):
        slope = self.derivative(A)
        return _times_linear(slope, slope, -6, 4)

    def backward(self, A, delta):
        A *= A
        delta *= np.subtract(1, A, out=A)

    def inverse(self, A):
        return np.arctanh(np.clip(A, _MARGIN - 1, 1 - _MARGIN))


class Relu(Activation):
    """Rectified linear unit, g(z) = max(z, 0), with g'(0) = 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Relu
    >>> Relu().forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

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
        # Positive also where A is zero: the gradient of a unit that starts at the kink is zero.
        return np.maximum(A, SMALLEST)


class Softplus(Activation):
    """Softplus, g(z) = log(1 + exp(z)), with g' = 1 - exp(-g) and g'' = g' (1 - g').

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Softplus
    >>> Softplus().forward(np.array([-1.0, 0.0, 2.0])).round(3)
    array([0.313, 0.693, 2.127])
    """

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

    def third_derivative(self, A):
        slope = -np.expm1(-A)
        return slope * (1 - slope) * (1 - 2 * slope)

    def backward(self, A, delta):
        np.negative(A, out=A)
        np.expm1(A, out=A)
        delta *= np.negative(A, out=A)

    def inverse(self, A):
        A = np.maximum(A, SMALLEST)
        return A + np.log(-np.expm1(-A))


class Exponential(Activation):
    """Exponential, g(z) = exp(z): the link of the Poisson loss. Not meant for hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.activations import Exponential
    >>> Exponential().forward(np.array([-1.0, 0.0, 2.0])).round(3)
    array([0.368, 1.   , 7.389])
    """

    bounds = (0.0, np.inf)

    def forward(self, Z):
        return np.exp(Z, out=Z)

    def derivative(self, A):
        return np.array(A)

    def second_derivative(self, A):
        return np.array(A)

    def third_derivative(self, A):
        return np.array(A)

    def inverse(self, A):
        return np.log(np.maximum(A, SMALLEST))


ACTIVATIONS = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": Relu(),
    "softplus": Softplus(),
}


def make_activation(activation):
    """Return the Activation of a name in ACTIVATIONS, or the object itself."""
    return activation if isinstance(activation, Activation) else ACTIVATIONS[activation]
