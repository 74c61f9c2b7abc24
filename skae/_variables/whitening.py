"""A change of variables in which a layer's curvature is about the same in all directions.

The curvature for a layer's weights is about the Kronecker product of the covariance of its inputs and the second moment
of the gradients of its pre-activations. In variables that whiten both, L-BFGS needs far fewer iterations; the objective
stays the same.

References
----------
J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import expit

from skae._network.network import network_at
from skae._network.parameters import Parameters
from skae._network.propagation import every_output, layer_deltas

# In units of a matrix's mean eigenvalue. Settled on MNIST with cross-entropy, shallow and deep: within a factor of
# three it hardly matters.
_INPUT_DAMPING = 0.3
_GRADIENT_DAMPING = 1.0

# A wider side of a layer keeps its variables: to whiten it would cost more than the layer's own products.
_MAX_WIDTH = 1024

# In units of the rounding of a layer's mean input.
_ROUNDING = 64


class CholeskyFactor(NamedTuple):
    """The Cholesky factor K of a second moment, (width, width), and its inverse."""

    factor: np.ndarray
    inverse: np.ndarray


class Whitening(NamedTuple):
    """The second moments of a layer's inputs, C = K K^T, and of its gradients, D = M M^T: W = K^-T theta_W M^-1.

    None stands for a side that keeps its variables.
    """

    inputs: CholeskyFactor | None
    gradients: CholeskyFactor | None

    def to_parameters(self, W, b, threads):
        """Turn theta's parts into a layer's weights and intercept, in place."""
        left, right = self._inverses()
        _transform(W, b, None if left is None else left.T, right, threads)

    def from_parameters(self, W, b):
        """Undo `to_parameters`, in place."""
        if self.inputs:
            W[...] = self.inputs.factor.T @ W
        if self.gradients:
            W[...] = W @ self.gradients.factor
            b[...] = b @ self.gradients.factor

    def pull_back(self, dW, db, threads):
        """Turn the gradients for a layer's parameters into those for theta, in place."""
        left, right = self._inverses()
        _transform(dW, db, left, None if right is None else right.T, threads)

    def _inverses(self):
        return [side and side.inverse for side in (self.inputs, self.gradients)]


def _transform(W, b, left, right, threads):
    """Replace W by left W right, and b by b right; the products run in the dtype of the factors."""
    if left is None and right is None:
        return
    product = W.astype((right if left is None else left).dtype)
    if left is not None:
        product = threads.product(left, product)
    if right is not None:
        product = threads.product(product, right)
        b[...] = b @ right
    W[...] = product


def whitened(problem, variables, theta, offset, threads):
    """Return the variables that suit the parameters at theta, and the theta of the same parameters in them.

    Parameters
    ----------
    problem : Problem
        All its rows are used, at once: a sample of those to be fitted.

    variables : CentredVariables

    theta : ndarray of shape (n_parameters,)

    offset : ndarray of shape (n_features,)
        The first layer's.

    threads : RowThreads
    """
    flat = np.empty_like(theta)
    variables.to_parameters(theta, flat, threads)
    # An overflow leaves a side as it is.
    with np.errstate(over="ignore", invalid="ignore"):
        sides, means = _sides(problem, Parameters(*variables.layout.views(flat), offset))
    better = variables.whitened([Whitening(*pair) for pair in sides], means)
    return better, better.from_parameters(flat)


def _sides(problem, parameters):
    """Return the pair of CholeskyFactors of each distinct weight, and each layer's mean input, (fan_in,)."""
    architecture, dtype = problem.architecture, problem.targets.dtype
    network = network_at(architecture, parameters, dtype)
    layers, inputs = network.layers, problem.inputs[0].centred_by(network.offset)
    outputs = every_output(layers, inputs)
    below = [None, *(A.copy() for A in outputs[:-1])]
    if problem.targets.shape[1] <= _MAX_WIDTH:
        below[0] = np.array(inputs.dense())
    targets = problem.targets.centred_by(problem.origin.astype(dtype)).dense()
    delta = np.empty_like(outputs[-1])
    problem.loss.loss_gradient(targets, outputs[-1], delta)
    deltas = layer_deltas(layers, outputs, delta)

    shares = (problem.weights[:] / problem.weights.sum()).astype(dtype)
    means = [None if A is None else shares @ A for A in below]
    for A, mean in zip(below, means, strict=True):
        if A is not None:
            A -= mean
            # A difference from the mean by rounding alone means a constant. Its moment would be noise in full size.
            A[np.abs(A) <= _ROUNDING * np.finfo(dtype).eps * np.abs(mean)] = 0
    moments = [tuple(_moment(part, shares) for part in pair) for pair in zip(below, deltas, strict=True)]
    if architecture.tied:
        moments = [_tied(*pair) for pair in zip(moments, reversed(moments), strict=True)][: architecture.depth]
    # The loss is a sum over features, so that the curvature in the raw output is about the same in all directions. The
    # mean of products of the gradients, far from the minimum, is not: whitened by it, searches were slower. So were
    # those that whitened the code's side of a tied matrix.
    moments[-1] = moments[-1][0], None
    dampings = _INPUT_DAMPING, _GRADIENT_DAMPING
    return [[_factorised(*side, dtype) for side in zip(pair, dampings, strict=True)] for pair in moments], means


class _Moment(NamedTuple):
    """A second moment in units of its mean eigenvalue, and the logarithm of that."""

    matrix: np.ndarray
    log_size: float


def _moment(A, shares):
    """Return the weighted second moment of A's columns; None if they are too many, or all zero. A is overwritten."""
    if A is None or A.shape[1] > _MAX_WIDTH:
        return None
    largest = max(A.max(), -A.min())
    if not 0 < largest < np.inf:
        return None
    A /= largest  # the squares of A's own entries may leave the range
    matrix = ((A * shares[:, None]).T @ A).astype(np.float64)
    size = np.trace(matrix) / len(matrix)
    if not size:  # every nonzero entry belongs to a row whose weight underflows to zero in this dtype
        return None
    return _Moment(matrix / size, np.log(size) + 2 * np.log(np.float64(largest)))


def _tied(encoder, decoder):
    """Return the factors nearest, by partial traces, to the sum of an encoder's Kronecker product and a decoder's."""
    pairs = (encoder, decoder[::-1])
    log_sizes = [sum(side.log_size for side in pair if side) for pair in pairs]
    share = expit(log_sizes[0] - log_sizes[1])
    return [
        _Moment(share * own.matrix + (1 - share) * tied.matrix, 0.0) if own and tied else own or tied
        for own, tied in zip(*pairs, strict=True)
    ]


def _factorised(moment, damping, dtype):
    if moment is None:
        return None
    unit = np.eye(len(moment.matrix))
    factor = cholesky((moment.matrix + damping * unit) / (1 + damping), lower=True)
    return CholeskyFactor(factor.astype(dtype), solve_triangular(factor, unit, lower=True).astype(dtype))
