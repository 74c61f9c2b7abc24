"""The objective of a fit and its gradient, in one pass over blocks of rows."""

from math import ceil

import numpy as np

from skae.network import backward, block_rows, forward
from skae.parameters import Layout
from skae.threads import RowThreads

# Threads beyond these would cost more memory, a gradient each, than they save time.
_MAX_WORKERS = 8

# Layer outputs, over all rows, that are worth a thread of their own.
_ENTRIES_A_WORKER = 2**15


class _Worker:
    """What one thread works with: buffers for a block of rows, and its part of the gradient."""

    def __init__(self, architecture, layout, n_rows, dtype):
        def buffers(widths):
            return [np.empty((n_rows, width), dtype=dtype) for width in widths]

        widths = architecture.layer_widths
        self._inputs = buffers(widths[:1])[0]
        self._outputs = buffers(widths[1:])
        self._deltas = buffers(widths[1:])
        self.gradient = np.empty(layout.size)
        self.weight_gradients, self.intercept_gradients = layout.views(self.gradient)

    def buffers(self, n_rows):
        """Return the views for a block of so many rows: inputs, outputs, deltas."""
        return self._inputs[:n_rows], [A[:n_rows] for A in self._outputs], [delta[:n_rows] for delta in self._deltas]


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

    threads : RowThreads, default=RowThreads(1)
        What the blocks are shared out to.

    block_size : int, default=None
        Rows worked on at a time; None: as many as suit the cache.
    """

    def __init__(
        self,
        architecture,
        penalties,
        variables,
        *,
        draws,
        targets,
        weights,
        offset,
        reference,
        threads=RowThreads(1),  # noqa: B008 - immutable
        block_size=None,
    ):
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

        self._layout = Layout(architecture)
        self.size = self._layout.size
        self._parameters = np.empty(self.size)
        self._compute_parameters = np.empty(self.size, dtype=targets.dtype)
        self._layers = architecture.layers(*self._layout.views(self._compute_parameters))
        self._threads = threads
        self._share_out(block_size)

    def _share_out(self, block_size):
        """Cut the rows into blocks and deal them out to the workers."""
        n_rows, widths = len(self._targets), self._architecture.layer_widths
        useful = len(self._draws) * n_rows * sum(widths) // _ENTRIES_A_WORKER
        n_workers = max(1, min(self._threads.n_threads, _MAX_WORKERS, useful))
        size = min(block_size or block_rows(widths), ceil(n_rows / n_workers))
        blocks = [(draw, slice(start, start + size)) for draw in self._draws for start in range(0, n_rows, size)]
        self._deals = [
            (_Worker(self._architecture, self._layout, size, self._targets.dtype), blocks[first::n_workers])
            for first in range(n_workers)
        ]

    def __call__(self, theta):
        """Return the value, a float, and the gradient, (n_parameters,), at theta."""
        # Overflow is an infinite value, which the solver steps back from, not news for the user.
        with np.errstate(over="ignore", invalid="ignore"):
            self._variables.to_parameters(theta, out=self._parameters)
            self._compute_parameters[...] = self._parameters
            value, mean_code_gradient = self._mean_code_penalties()
            gradient = np.zeros(self.size)
            for worker_value, worker_gradient in self._threads.map(
                lambda deal: self._sweep(*deal, mean_code_gradient), self._deals
            ):
                value += worker_value
                gradient += worker_gradient
            weights, weight_gradients = (self._layout.views(flat)[0] for flat in (self._parameters, gradient))
            for penalty in self._on_weights:
                value += penalty.on_weights(self._layout.distinct(weights), self._layout.distinct(weight_gradients))
            self._variables.pull_back(gradient)
        return float(value), gradient

    def _mean_code_penalties(self):
        """Value and gradient for the mean code; they need a sweep of the encoder over all rows first."""
        gradient = np.zeros(self._architecture.widths[-1])
        if not self._on_mean_code:
            return 0.0, gradient
        mean = sum(self._threads.map(lambda deal: self._sum_codes(*deal), self._deals))
        value = sum(penalty.on_mean_code(mean, self._architecture.code, gradient) for penalty in self._on_mean_code)
        return value, gradient

    def _sum_codes(self, worker, blocks):
        with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
            return sum(self._shares[rows] @ self._encode(worker, draw[rows])[-1] for draw, rows in blocks)

    def _sweep(self, worker, blocks, mean_code_gradient):
        """Return the value and the gradient of a worker's blocks."""
        worker.gradient[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):
            value = sum(self._add_block(worker, draw, rows, mean_code_gradient) for draw, rows in blocks)
        return value, worker.gradient

    def _encode(self, worker, X):
        """The encoder's outputs for a block, in the worker's buffers; the centred inputs are left in theirs."""
        inputs, outputs, _ = worker.buffers(len(X))
        codes = outputs[: self._architecture.depth]
        np.subtract(X, self._offset, out=inputs)
        forward(self._layers[: self._architecture.depth], inputs, codes)
        return codes

    def _add_block(self, worker, draw, rows, mean_code_gradient):
        """Add a block's gradients to the worker's and return its part of the value."""
        target, shares = self._targets[rows], self._shares[rows]
        depth = self._architecture.depth
        inputs, outputs, deltas = worker.buffers(len(target))
        codes = self._encode(worker, draw[rows])
        forward(self._layers[depth:], codes[-1], outputs[depth:])

        value = shares @ self._architecture.loss.loss_gradient(target, outputs[-1], deltas[-1])
        column = shares.astype(target.dtype)[:, None]
        deltas[-1] *= column
        for delta in deltas[:-1]:
            delta[...] = 0
        if self._on_mean_code:
            deltas[depth - 1][...] = column * mean_code_gradient.astype(target.dtype)
            self._architecture.code.backward(codes[-1], deltas[depth - 1])
        for penalty in self._on_rows:
            value += penalty.on_rows(
                self._layers[:depth], codes, shares, deltas[:depth], worker.weight_gradients[:depth]
            )
        backward(self._layers, inputs, outputs, deltas, worker.weight_gradients, worker.intercept_gradients)
        return value
