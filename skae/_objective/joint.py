"""The objective of a fit and its gradient, in one pass over blocks of rows."""

from math import ceil

import numpy as np

from skae._network.parameters import Layout
from skae._network.propagation import backward, block_rows, forward
from skae._rows.blocks import Centred, Dense
from skae._rows.threads import RowThreads
from skae._variables.centring import search_variables
from skae._variables.start import theta_of

# Threads beyond these would cost more memory, a gradient each, than they save time.
_MAX_WORKERS = 8

# Layer outputs, over all rows, that are worth a thread of their own.
_ENTRIES_A_WORKER = 2**15


class Worker:
    """What one thread works with: buffers for a block of rows, and its part of the sums over rows."""

    def __init__(self, architecture, layout, n_rows, dtype):
        def buffers(widths):
            return [np.empty((n_rows, width), dtype=dtype) for width in widths]

        n_features = architecture.widths[0]
        self.gradient = np.empty(layout.size)
        self.weight_gradients, self.intercept_gradients = layout.views(self.gradient)
        widths = [len(b) for b in self.intercept_gradients]
        self.outputs, self.deltas = buffers(widths), buffers(widths)
        self.direct = buffers(widths[: architecture.depth])
        self.inputs, self.targets = buffers([n_features] * 2)
        self.mean_code = np.empty(architecture.widths[-1])
        self.sums = [self.mean_code]
        product = np.empty(max(W.size for W in self.weight_gradients), dtype=dtype)
        self.products = [product[: W.size].reshape(W.shape) for W in self.weight_gradients]


class Objective:
    """J(theta) = sum_i w_i l(x_i, x^_i) + penalties, where the w_i sum to one.

    Calling it gives J less the loss of perfect reconstructions, a constant that may be far larger than what there is to
    gain and would cost the value its digits; and the gradient. Both are float64; the products run in the dtype of X.
    It knows nothing of the solver and nothing of the estimator, and leaves all its inputs as they are.

    Parameters
    ----------
    problem : Problem

    variables : CentredVariables
        What theta stands for.

    offset : ndarray of shape (n_features,)
        Subtracted from the inputs; the first layer's intercept is the one about it.

    threads : RowThreads, default=RowThreads(1)
        What the blocks are shared out to.

    block_size : int, default=None
        Rows worked on at a time; None: as many as suit the cache.

    Attributes
    ----------
    terms : ndarray of shape (1 + n_penalties,)
        The mean reconstruction loss and each penalty at the latest call, whose sum is J itself.

    reference : float
        The unit of the value, for a solver's tolerances.
    """

    # How many layers theta has, from the first on; None: all of them.
    n_layers: int | None = None

    def __init__(
        self,
        problem,
        variables,
        *,
        offset,
        threads=RowThreads(1),  # noqa: B008 - immutable
        block_size=None,
    ):
        self.reference = problem.reference
        self._problem = problem
        self._architecture = problem.architecture
        self._on_weights, self._on_mean_code, self._on_rows = (
            [(term, penalty) for term, penalty in enumerate(problem.penalties, start=1) if penalty.acts_on == part]
            for part in ("weights", "mean_code", "rows")
        )
        self._variables = variables
        self._dtype = problem.X.dtype
        self._offset = offset.astype(self._dtype)
        self._inputs = [Centred(draw, self._offset) for draw in problem.draws]
        self._targets = Centred(problem.X, problem.origin.astype(self._dtype))
        # Then the inputs' centred rows are the targets' too.
        self._is_clean = not problem.is_corrupted and np.array_equal(self._offset, self._targets.offset)
        self._shares = problem.weights / (problem.weights.sum() * len(problem.draws))
        self._column = self._shares.astype(self._dtype)[:, None]

        self._layout = Layout(problem.architecture, self.n_layers)
        self.size = self._layout.size
        self._theta, self._parameters = np.full((2, self.size), np.nan)
        self._compute_parameters = np.empty(self.size, dtype=self._dtype)
        self._layers = problem.architecture.layers(*self._layout.views(self._compute_parameters))
        self._mean_code_gradient = np.zeros(problem.architecture.widths[-1])
        self.terms = self._no_terms()
        # A first sweep's codes are worth their memory: to encode once more costs a large product.
        self._codes = None
        if self._n_swept_first and self._architecture.depth == 1:
            shape = len(problem.draws), len(self._shares), problem.architecture.widths[-1]
            self._codes = np.empty(shape, dtype=self._dtype)
        self._threads = threads
        self._share_out(block_size)

    @property
    def _n_swept_first(self):
        """How many layers are needed of all rows before the first gradient."""
        return self._architecture.depth if self._on_mean_code else 0

    def _share_out(self, block_size):
        """Cut the rows into blocks and deal them out to the workers."""
        n_rows, widths = len(self._shares), self._architecture.layer_widths
        useful = len(self._inputs) * n_rows * sum(widths) // _ENTRIES_A_WORKER
        n_workers = max(1, min(self._threads.n_threads, _MAX_WORKERS, useful))
        # As many blocks for every worker, and all of about the same size: nobody waits for the last one.
        n_rounds = ceil(n_rows / (n_workers * min(block_size or block_rows(widths), n_rows)))
        size = ceil(n_rows / (n_workers * n_rounds))
        blocks = [
            (draw, slice(start, min(start + size, n_rows)))
            for draw in range(len(self._inputs))
            for start in range(0, n_rows, size)
        ]
        self._deals = [(self._make_worker(size), blocks[first::n_workers]) for first in range(n_workers)]

    def _make_worker(self, n_rows):
        return Worker(self._architecture, self._layout, n_rows, self._dtype)

    def __call__(self, theta):
        """Return the value, a float, and the gradient, (n_parameters,), at theta."""
        # Overflow is an infinite value, which the solver steps back from, not news for the user.
        with np.errstate(over="ignore", invalid="ignore"):
            self._set_parameters(theta)
            self.terms = self._look_ahead()
            gradient = np.zeros(self.size)
            for worker_terms, worker_gradient in self._threads.map(self._sweep, self._deals):
                self.terms += worker_terms
                gradient += worker_gradient
            weights, weight_gradients = (self._layout.views(flat)[0] for flat in (self._parameters, gradient))
            for term, penalty in self._on_weights:
                self.terms[term] += penalty.on_weights(
                    self._layout.distinct(weights), self._layout.distinct(weight_gradients)
                )
            self._variables.pull_back(gradient)
            value = float(self.terms.sum() + (self._problem.omitted - self._problem.least))
            self.terms[0] += self._problem.omitted
        return value, gradient

    def _no_terms(self):
        return np.zeros(1 + len(self._problem.penalties))

    def parameters(self, theta):
        """Return weights and intercepts of all layers, in float64, at theta."""
        self._set_parameters(theta)
        weights, intercepts = self._layout.views(self._parameters.copy())
        if self._layout.is_whole:
            intercepts[-1] += self._problem.raw_origin
        return weights, intercepts

    def _set_parameters(self, theta):
        self._theta[...] = theta
        self._variables.to_parameters(theta, out=self._parameters)
        self._compute_parameters[...] = self._parameters

    def _look_ahead(self):
        """Return the terms, as far as they take a sweep of their own over all rows."""
        terms = self._no_terms()
        if self._n_swept_first:
            workers = list(self._threads.map(self._sweep_first, self._deals))
            mean = sum(worker.mean_code for worker in workers)
            self._mean_code_gradient[...] = 0
            for term, penalty in self._on_mean_code:
                terms[term] = penalty.on_mean_code(mean, self._architecture.code, self._mean_code_gradient)
        return terms

    def _sweep_first(self, deal):
        """Return the worker, with its sums over the rows that it was dealt."""
        worker, blocks = deal
        for part in worker.sums:
            part[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
            for draw, rows in blocks:
                inputs, outputs = self._block(worker, draw, rows)
                forward(self._layers[: self._n_swept_first], inputs, outputs[: self._n_swept_first])
                self._add_statistics(worker, draw, rows, inputs, outputs)
        return worker

    def _add_statistics(self, worker, draw, rows, inputs, outputs):
        if self._on_mean_code:
            worker.mean_code += self._shares[rows] @ outputs[self._architecture.depth - 1]

    def _sweep(self, deal):
        """Return the terms and the gradient of the rows that a worker was dealt."""
        worker, blocks = deal
        worker.gradient[...] = 0
        terms = self._no_terms()
        with np.errstate(over="ignore", invalid="ignore"):
            for draw, rows in blocks:
                self._add_block(worker, draw, rows, terms)
        return terms, worker.gradient

    def _block(self, worker, draw, rows):
        """A block's centred inputs, and where its layers' outputs belong."""
        n_rows = rows.stop - rows.start
        outputs = [A[:n_rows] for A in worker.outputs]
        if self._codes is not None:
            outputs[0] = self._codes[draw, rows]
        return self._inputs[draw].block(rows, worker.inputs), outputs

    def _add_block(self, worker, draw, rows, terms):
        """Add a block's gradients to the worker's, and its values to the terms."""
        inputs, outputs = self._block(worker, draw, rows)
        deltas = [delta[: len(outputs[0])] for delta in worker.deltas]
        if self._codes is None:
            forward(self._layers, inputs, outputs)
        else:
            forward(self._layers[1:], Dense(outputs[0]), outputs[1:])
        terms[0] += self._reconstruction(worker, draw, rows, inputs, outputs, deltas[-1])
        direct = self._direct(worker, rows, outputs, terms)
        backward(
            self._layers,
            inputs,
            outputs,
            deltas,
            direct,
            worker.weight_gradients,
            worker.intercept_gradients,
            worker.products,
        )

    def _reconstruction(self, worker, draw, rows, inputs, outputs, delta):
        """Write the gradient of the last output into `delta` and return the block's loss."""
        target = self._target_block(worker, rows, inputs).dense(worker.targets)
        value = self._shares[rows] @ self._problem.loss.loss_gradient(target, outputs[-1], delta)
        delta *= self._column[rows]
        return value

    def _target_block(self, worker, rows, inputs):
        """A block's targets less their origin, as a factor of products."""
        return inputs if self._is_clean else self._targets.block(rows, worker.targets)

    def _direct(self, worker, rows, outputs, terms):
        """Add the values of the penalties on the encoder's outputs and return their gradients, one a layer or None."""
        direct = [None] * len(self._layers)
        if not (self._on_rows or self._on_mean_code):
            return direct
        depth, shares = self._architecture.depth, self._shares[rows]
        encoder, activations = self._layers[:depth], outputs[:depth]
        direct[:depth] = [delta[: len(shares)] for delta in worker.direct]
        for delta in direct[:depth]:
            delta[...] = 0
        if self._on_mean_code:
            code = direct[depth - 1]
            np.multiply.outer(shares, self._mean_code_gradient, out=code, casting="same_kind")
            code *= self._architecture.code.derivative(activations[-1])
        for term, penalty in self._on_rows:
            terms[term] += penalty.on_rows(
                encoder, activations, shares, direct[:depth], worker.weight_gradients[:depth]
            )
        return direct


def objective_terms(problem, parameters, threads):
    """Return the mean reconstruction loss and each penalty of a problem at given Parameters, (1 + n_penalties,)."""
    layout = Layout(problem.architecture)
    variables, offset = search_variables(problem, layout, threads)
    objective = Objective(problem, variables, offset=offset, threads=threads)
    objective(theta_of(parameters, problem, layout, variables, offset))
    return objective.terms
