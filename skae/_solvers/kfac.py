"""Natural gradient steps: K-FAC, whose iterates are averaged.

The Gauss-Newton matrix of a layer's weights is about the Kronecker product of the second moment A of its inputs and
the second moment G of the gradients of its pre-activations, for outputs drawn from the model itself. The last layer's
pre-activations are the raw output, in which the loss is a sum over features: G is taken for diagonal there. A tied
matrix has two parts, F = A_1 (x) G_1 + G_2 (x) A_2: that of the encoder, and that of the decoder with the sides
exchanged. A pair of generalised eigendecompositions inverts their sum.

All moments are of layers as the search variables see them, so that the damping does not depend on the unit of X.

References
----------
J. Martens and R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015.
B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
Optimization 30, 1992.
"""

import numpy as np

from skae._network.propagation import every_output, layer_deltas

# Damping of the curvature: in the unit of the objective, and as a share of the layer's own mean curvature.
_DAMPING, _OWN_DAMPING = 2e-4, 0.3

# Step size, and share of the former step in the next one.
_RATE, _MOMENTUM = 0.3, 0.8

# Bound on the change that the curvature predicts for a step, at first, and the steps after which it is half of that:
# noise becomes larger than what is left to gain. On MNIST deep nets stall with a larger bound, and tied matrices, whose
# two parts lack the terms between them, are slower with the smaller one.
_RADIUS, _TIED_RADIUS, _HALVING_STEPS = 1.5e-3, 1e-2, 250

# Shares of the former means in the means of moments and of iterates.
_MOMENT_MEMORY, _MEAN_MEMORY = 0.95, 0.98

# A wider side of a layer has the diagonal of its moment alone: the whole would cost more than the layer's own products.
_MAX_WIDTH = 1024


class KFAC:
    """An iterate that follows the natural gradient, and the mean of its latest places.

    Parameters
    ----------
    theta : ndarray of shape (n_parameters,)
        The start.

    layout : Layout

    threads : RowThreads

    Attributes
    ----------
    theta, mean : ndarray of shape (n_parameters,)

    n_steps : int
    """

    def __init__(self, theta, layout, threads):
        self.theta, self.mean = theta.copy(), theta.copy()
        self.n_steps, self._radius = 0, _TIED_RADIUS if layout.is_tied else _RADIUS
        self._layout, self._threads = layout, threads
        self._velocity, self._natural = np.zeros((2, len(theta)), dtype=theta.dtype)
        self._n_observed = 0
        weights, _ = layout.views(theta)
        last = len(weights) - 1
        self._blocks = [
            _TiedBlock(index, last - index) if layout.is_tied else _Block(index)
            for index in range(len(layout.distinct(weights)))
        ]

    def observe(self, moments):
        """Take the pairs of moments, of inputs and of gradients, of each layer into the running means, if finite."""
        if self._n_observed and not all(np.isfinite(side).all() for pair in moments for side in pair):
            return
        self._n_observed += 1
        memory = min(1 - 1 / self._n_observed, _MOMENT_MEMORY)
        if memory == 0:
            self._moments = moments
            return
        for mean, new in zip(self._moments, moments, strict=True):
            for side, newer in zip(mean, new, strict=True):
                side *= side.dtype.type(memory)
                side += side.dtype.type(1 - memory) * newer

    def invert(self, decays):
        """Set the inverses of the curvature, given those of the penalties on each distinct weight."""
        list(
            self._threads.map(
                lambda part: part[0].invert(self._moments, _DAMPING + part[1]),
                list(zip(self._blocks, decays, strict=True)),
            )
        )

    def step(self, gradient):
        """Move against a gradient; go back to the mean if that is not finite."""
        for block in self._blocks:
            block.precondition(self._layout.views(gradient), self._layout.views(self._natural), self._threads)
        change = _RATE**2 * float(np.vdot(gradient, self._natural))
        if not np.isfinite(change):
            self.go_on_from(self.mean)
            return
        bound = self._radius / (1 + self.n_steps / _HALVING_STEPS)
        rate = _RATE * np.sqrt(bound / change) if change > bound else _RATE
        self._natural *= rate
        self._velocity *= _MOMENTUM
        self._velocity -= self._natural
        self.theta += self._velocity
        self.n_steps += 1
        memory = min(_MEAN_MEMORY, (1 + self.n_steps) / (10 + self.n_steps))
        self.mean *= memory
        self.mean += (1 - memory) * self.theta

    def go_on_from(self, theta):
        """Go on from a point with smaller steps."""
        self.theta[...] = self.mean[...] = theta
        self._velocity[...] = 0
        self._radius /= 4


class _Block:
    """The curvature of one layer's weights and intercept."""

    def __init__(self, index):
        self._index = index

    def invert(self, moments, damping):
        A, G = moments[self._index]
        of_inputs, of_gradients = _dampings(A, G, damping)
        self._left, self._right = _inverse(A, of_inputs), _inverse(G, of_gradients)

    def precondition(self, gradient, natural, threads):
        """Write the natural gradient, given views of weights and intercepts of both."""
        index = self._index
        joined = np.vstack([gradient[0][index], gradient[1][index]])
        result = _times_right(_times_left(self._left, joined, threads), self._right, threads)
        natural[0][index][...], natural[1][index][...] = result[:-1], result[-1]


class _TiedBlock:
    """The curvature of one tied matrix and of the intercepts of its two layers, as if they were independent."""

    def __init__(self, index, mirrored):
        self._index, self._mirrored = index, mirrored

    def invert(self, moments, damping):
        (A, G), (H, R) = moments[self._index], moments[self._mirrored]  # H, R: A_2, G_2
        square, H = (H[-1], H[:-1]) if H.ndim == 1 else (H[-1, -1], H[:-1, :-1])
        self._of_intercept = _inverse(square * R, damping + _OWN_DAMPING * square * _size(R))
        # The encoder's intercept has no part in the decoder.
        R = np.append(R, np.zeros(1, R.dtype)) if R.ndim == 1 else np.pad(R, (0, 1))
        of_inputs, of_gradients = _dampings(A, G, damping + _OWN_DAMPING * _size(R) * _size(H))
        A, G = _damped(A, of_inputs), _damped(G, of_gradients)
        self._left, of_left = _common_axes(A, R)
        self._right, of_right = _common_axes(G, H)
        # Each side's own quotient may leave the range, if X is in an extreme unit.
        share = _size(R) * _size(H) / (_size(A) * _size(G))
        self._curvatures = 1 + share * np.multiply.outer(of_left, of_right)

    def precondition(self, gradient, natural, threads):
        index, mirrored = self._index, self._mirrored
        joined = np.vstack([gradient[0][index], gradient[1][index]])
        result = _times_right(_times_left(self._left.T, joined, threads), self._right, threads)
        result /= self._curvatures
        result = _times_right(_times_left(self._left, result, threads), self._right.T, threads)
        natural[0][index][...], natural[1][index][...] = result[:-1], result[-1]
        natural[1][mirrored][...] = _times_left(self._of_intercept, gradient[1][mirrored][:, None], threads)[:, 0]


def moments_of(problem, layers, variables, offset, rng):
    """Return the pairs of second moments, of inputs and of gradients of the pre-activations, of each layer.

    Parameters
    ----------
    problem : Problem
        A sample of rows, in one draw.

    layers : list of Layer

    variables : CentredVariables

    offset : ndarray of shape (n_features,)

    rng : numpy.random.Generator
        Of the signs of the gradients: their second moment is that of gradients for outputs drawn from the model.
    """
    inputs = problem.inputs[0].centred_by(offset.astype(problem.targets.dtype))
    outputs = every_output(layers, inputs)
    shares = (problem.weights[:] / problem.weights.sum()).astype(inputs.dtype)
    of_inputs = [
        _second_moment(variables.seen_by(index, A), shares) for index, A in enumerate([inputs.dense(), *outputs[:-1]])
    ]
    raw = outputs[-1]
    target = problem.targets.centred_by(problem.origin.astype(raw.dtype)).dense()
    curvature = problem.loss.curvature(target, raw)
    entry_weights = problem.noise and problem.noise.entry_weights(0, slice(None))
    if entry_weights is not None:
        curvature *= entry_weights
    curvature /= problem.loss_unit
    delta = np.sqrt(np.maximum(curvature, 0))
    np.negative(delta, out=delta, where=rng.random(delta.shape, dtype=np.float32) < 0.5)
    deltas = layer_deltas(layers, outputs, delta)
    of_gradients = [*(_second_moment(delta, shares) for delta in deltas[:-1]), shares @ curvature]
    return list(zip(of_inputs, of_gradients, strict=True))


def _second_moment(A, shares):
    """Return the second moment of A's columns, rows weighted by their shares, or its diagonal if they are many."""
    if A.shape[1] > _MAX_WIDTH:
        return shares @ np.square(A)
    return (A * shares[:, None]).T @ A


def _size(moment):
    """Return the mean eigenvalue of a moment."""
    return float(np.mean(moment if moment.ndim == 1 else np.diag(moment)))


def _dampings(A, G, damping):
    """Share a damping between two sides so that each is damped by the same share of its size."""
    sizes = _size(A), _size(G)
    damping += _OWN_DAMPING * sizes[0] * sizes[1]
    ratio = np.sqrt(sizes[0]) / np.sqrt(sizes[1]) if min(sizes) > 0 else 1.0
    return np.sqrt(damping) * ratio, np.sqrt(damping) / ratio


def _damped(moment, damping):
    damping = moment.dtype.type(damping)
    return moment + (damping if moment.ndim == 1 else damping * np.eye(len(moment), dtype=moment.dtype))


def _inverse(moment, damping):
    damped = _damped(moment, damping)
    return 1 / damped if damped.ndim == 1 else np.linalg.inv(damped)


def _common_axes(A, B):
    """Return P and the diagonal of P^T B P, where P^T A P = 1, for moments of which A is damped.

    The diagonal is in units of the quotient of their mean eigenvalues.
    """
    size = _size(A) ** 0.5
    A, B = A / _size(A), B / (_size(B) or 1.0)
    if A.ndim == B.ndim == 1:
        return 1 / np.sqrt(A) / size, B / A
    A, B = (np.diag(part) if part.ndim == 1 else part for part in (A, B))
    inverse = np.linalg.inv(np.linalg.cholesky(A))
    values, axes = np.linalg.eigh(inverse @ B @ inverse.T)
    return inverse.T @ axes / size, np.maximum(values, 0)


def _times_left(A, B, threads):
    return A[:, None] * B if A.ndim == 1 else threads.product(A, B)


def _times_right(A, B, threads):
    return A * B if B.ndim == 1 else threads.product(A, B)
