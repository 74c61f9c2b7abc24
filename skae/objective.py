"""The objective of a fit and its gradient, in one pass over blocks of rows."""

import numpy as np

from skae.network import backward, block_rows, forward
from skae.parameters import Layout


class Objective:
    """J(theta) = sum_i w_i l(x_i, x^_i) + penalties, where the w_i sum to one.

    Calling it gives value and gradient in float64; the products run in the dtype of X. It knows nothing of the
    solver and nothing of the estimator, and leaves all its inputs as they are.

    Parameters
    ----------
    architecture : Architecture

    penalties : sequence of Penalty

    variables : CentredVariables
        What theta stands for.

    draws : list of ndarray of shape (n_samples, n_features)
        The network's inputs: X itself, or independent corruptions of it.

    targets : ndarray of shape (n_samples, n_features)
        What the reconstructions are compared with: X.

    weights : ndarray of shape (n_samples,)
        Sample weights, float64, with a positive sum.

    offset : ndarray of shape (n_features,)
        Subtracted from the inputs; the first layer's intercept is the one about it.

    reference : float
        The unit of the objective, for a solver's tolerances.

    block_size : int, default=None
        Rows worked on at a time; None: as many as suit the cache.
    """

    def __init__(self, architecture, penalties, variables, draws, targets, weights, offset, reference, block_size=None):
        self.reference = reference
        self._architecture = architecture
        self._on_weights, self._on_mean_code, self._on_rows = (
            [penalty for penalty in penalties if penalty.acts_on == part] for part in ("weights", "mean_code", "rows")
        )
        self._variables = variables
        self._draws = draws
        self._targets = targets
        self._shares = weights / (weights.sum() * len(draws))
        self._offset = offset.astype(targets.dtype)
        self._block_size = min(block_size or block_rows(architecture.widths), len(targets))

        self._layout = Layout(architecture)
        self.size = self._layout.size
        self._parameters = np.empty(self.size)
        self._compute_parameters = np.empty(self.size, dtype=targets.dtype)
        self._layers = architecture.layers(*self._layout.views(self._compute_parameters))
        self._allocate_buffers()

    def _allocate_buffers(self):
        def buffers(widths):
            return [np.empty((self._block_size, width), dtype=self._targets.dtype) for width in widths]

        widths = self._architecture.layer_widths
        self._inputs = buffers(widths[:1])[0]
        self._outputs = buffers(widths[1:])
        self._deltas = buffers(widths[1:])

    def __call__(self, theta):
        """Return the value, a float, and the gradient, (n_parameters,), at theta."""
        self._variables.to_parameters(theta, out=self._parameters)
        self._compute_parameters[...] = self._parameters
        gradient = np.zeros(self.size)
        weights, _ = self._layout.views(self._parameters)
        weight_gradients, intercept_gradients = self._layout.views(gradient)

        # Overflow is an infinite value, which the solver steps back from, not news for the user.
        with np.errstate(over="ignore", invalid="ignore"):
            value = 0.0
            for penalty in self._on_weights:
                value += penalty.on_weights(self._layout.distinct(weights), self._layout.distinct(weight_gradients))
            mean_code_value, mean_code_gradient = self._mean_code_penalties()
            value += mean_code_value
            for draw, rows in self._blocks():
                value += self._add_block(draw, rows, mean_code_gradient, weight_gradients, intercept_gradients)
            self._variables.pull_back(gradient)
        return float(value), gradient

    def _blocks(self):
        for draw in self._draws:
            for start in range(0, len(draw), self._block_size):
                yield draw, slice(start, start + self._block_size)

    def _mean_code_penalties(self):
        """Value and gradient for the mean code; they need a sweep of the encoder over all rows first."""
        mean = np.zeros(self._architecture.widths[-1])
        gradient = np.zeros_like(mean)
        if not self._on_mean_code:
            return 0.0, gradient
        for draw, rows in self._blocks():
            code = self._encode(draw[rows])[-1]
            mean += self._shares[rows] @ code
        value = sum(penalty.on_mean_code(mean, self._architecture.code, gradient) for penalty in self._on_mean_code)
        return value, gradient

    def _encode(self, X):
        """The encoder's outputs for a block, in the buffers; the centred inputs are left in theirs."""
        inputs = np.subtract(X, self._offset, out=self._inputs[: len(X)])
        outputs = [A[: len(X)] for A in self._outputs[: self._architecture.depth]]
        forward(self._layers[: self._architecture.depth], inputs, outputs)
        return outputs

    def _add_block(self, draw, rows, mean_code_gradient, weight_gradients, intercept_gradients):
        """Add a block's gradients and return its part of the value."""
        X, target, shares = draw[rows], self._targets[rows], self._shares[rows]
        depth = self._architecture.depth
        inputs, outputs, deltas = (
            self._inputs[: len(X)],
            [A[: len(X)] for A in self._outputs],
            [delta[: len(X)] for delta in self._deltas],
        )
        codes = self._encode(X)
        forward(self._layers[depth:], codes[-1], outputs[depth:])

        value = shares @ self._architecture.loss.loss_gradient(target, outputs[-1], deltas[-1])
        column = shares.astype(X.dtype)[:, None]
        deltas[-1] *= column
        for delta in deltas[:-1]:
            delta[...] = 0
        if self._on_mean_code:
            deltas[depth - 1][...] = column * mean_code_gradient.astype(X.dtype)
            self._architecture.code.backward(codes[-1], deltas[depth - 1])
        for penalty in self._on_rows:
            value += penalty.on_rows(self._layers[:depth], codes, shares, deltas[:depth], weight_gradients[:depth])
        backward(self._layers, inputs, outputs, deltas, weight_gradients, intercept_gradients)
        return value
