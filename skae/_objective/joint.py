"""The objective of a fit and its gradient, in one pass over blocks of rows."""

from math import ceil
from typing import NamedTuple

import numpy as np

from skae._network.parameters import Layout, Parameters
from skae._network.propagation import backward, block_rows, forward
from skae._rows.blocks import shared_out
from skae._rows.factors import Dense
from skae._rows.threads import SERIAL
from skae.activations import SMALLEST

# Layer outputs, over all rows, that are worth a thread of their own.
_ENTRIES_A_WORKER = 2**15

# Each thread has a gradient of its own. Beyond so many, a thread gets a whole block of rows at least, whose products
# cost far more than the sum of the gradients.
_FEW_WORKERS = 8


class Evaluation(NamedTuple):
    """The objective at a theta.

    Attributes
    ----------
    value : float
        The objective less the loss of perfect reconstructions.

    gradient : ndarray of shape (n_parameters,)

    terms : ndarray of shape (n_terms,)
        The mean reconstruction loss, each penalty and, if an expectation is taken by moments, what the noise adds.
        Their sum is the objective.

    last_layer : tuple of ndarray or None
        Weight and intercept of the last layer, if that has been eliminated.
    """

    value: float
    gradient: np.ndarray
    terms: np.ndarray
    last_layer: tuple | None = None


class Worker:
    """The memory of one thread: buffers for a block of rows, its sums over rows, and the blocks that it works on."""

    def __init__(self, architecture, layout, n_rows, dtype, sum_dtype, blocks):
        def buffers(widths):
            return [np.empty((n_rows, width), dtype=dtype) for width in widths]

        n_features = architecture.widths[0]
        self.blocks = blocks
        self.gradient = np.empty(layout.size, dtype=sum_dtype)
        self.weight_gradients, self.intercept_gradients = layout.views(self.gradient)
        widths = [len(b) for b in self.intercept_gradients]
        self.outputs, self.deltas = buffers(widths), buffers(widths)
        self.own_deltas = buffers(widths[: architecture.depth])
        self.inputs, self.targets = buffers([n_features] * 2)
        self.sums = {"mean_code": np.empty(architecture.widths[-1])}
        product = np.empty(max(W.size for W in self.weight_gradients), dtype=dtype)
        self.products = [product[: W.size].reshape(W.shape) for W in self.weight_gradients]


class Objective:
    """J(theta) = sum_i w_i l(x_i, x^_i) + penalties, where the w_i sum to one.

    Calling it gives an Evaluation, whose value leaves out the loss of perfect reconstructions: that constant may be far
    larger than the gain, and would cost the value its digits. Value and gradient are float64; the products run in the
    dtype of X. It does not know the solver or the estimator, and changes none of its inputs.

    Parameters
    ----------
    problem : Problem

    variables : CentredVariables
        The meaning of theta.

    offset : ndarray of shape (n_features,)
        Subtracted from the inputs; the first layer's intercept is expressed with it.

    threads : RowThreads, default=SERIAL
        Work on the blocks.

    block_size : int, default=None
        Rows worked on at a time; None: as many as suit the cache.

    total_weight : float, default=None
        Sum of the weights of all rows, if those of the problem are a part of them.

    Attributes
    ----------
    unit : float
        The unit of the value, for a solver's tolerances.
    """

    # Share of the former mean code in that which the penalties see: the rows may be a small sample of all.
    mean_code_memory = 0.0

    # How many layers theta has, from the first on; None: all of them.
    n_layers: int | None = None

    def __init__(self, problem, variables, *, offset, threads=SERIAL, block_size=None, total_weight=None):
        self.unit = problem.loss_unit
        self._problem = problem
        self._architecture = problem.architecture
        self._on_weights, self._on_mean_code, self._on_rows = (
            [(term, penalty) for term, penalty in enumerate(problem.penalties, start=1) if penalty.acts_on == part]
            for part in ("weights", "mean_code", "rows")
        )
        self._variables = variables
        self._dtype = problem.targets.dtype
        self._offset, self._rounded_offset = offset, offset.astype(self._dtype)
        self._origin = problem.origin.astype(self._dtype)
        # Then the inputs less their offset are the targets less their origin.
        self._is_clean = not problem.is_corrupted and np.array_equal(self._rounded_offset, self._origin)

        self._layout = Layout(problem.architecture, self.n_layers)
        self.size = self._layout.size
        self._parameters = np.empty(self.size, dtype=variables.dtype)
        self._compute_parameters = np.empty(self.size, dtype=self._dtype)
        self._layers = problem.architecture.layers(*self._layout.views(self._compute_parameters))
        self._mean_code = None
        self._mean_code_gradient = np.zeros(problem.architecture.widths[-1])
        self._threads = threads
        self._total_weight = total_weight
        self._lay_out_rows(block_size)

    @property
    def _n_swept_first(self):
        """How many layers are needed of all rows before the first gradient."""
        return self._architecture.depth if self._on_mean_code else 0

    def _lay_out_rows(self, block_size):
        """Make the memory for sums over rows."""
        self._set_row_weights()
        # A first sweep's codes are worth their memory: to encode once more costs a large product.
        self._codes = None
        if self._n_swept_first and self._architecture.depth == 1:
            shape = len(self._problem.inputs), len(self._row_weights), self._architecture.widths[-1]
            self._codes = np.empty(shape, dtype=self._dtype)
        self._workers = self._make_workers(block_size)

    def _make_workers(self, block_size):
        """Cut the rows into blocks and assign them to workers."""
        n_rows, n_inputs = len(self._row_weights), len(self._problem.inputs)
        widths = self._architecture.layer_widths
        useful = n_inputs * n_rows * sum(widths) // _ENTRIES_A_WORKER
        block_size = min(block_size or block_rows(widths), n_rows)
        most = max(_FEW_WORKERS, n_inputs * n_rows // block_size)
        n_workers = max(1, min(self._threads.n_threads, most, useful))
        # As many blocks for every worker, all of about the same size, so that no worker waits for the last one.
        n_rounds = ceil(n_rows / (n_workers * block_size))
        slices = self._problem.inputs[0].cut(ceil(n_rows / (n_workers * n_rounds)))
        longest = max(rows.stop - rows.start for rows in slices)
        blocks = [(draw, rows) for draw in range(n_inputs) for rows in slices]
        lists = shared_out(blocks, min(n_workers, len(blocks)), lambda block: block[1])
        return [self._make_worker(longest, blocks) for blocks in lists]

    def _set_row_weights(self):
        problem = self._problem
        total_weight = self._total_weight or problem.weights.sum()
        self._row_weights = problem.weights / (total_weight * len(problem.inputs))
        is_equal = self._row_weights.are_equal
        self._equal_share = self._row_weights[:1].astype(self._dtype)[0] if is_equal else None

    def _shares(self, rows):
        """Return the shares of a block's rows in the mean, a column, or one number: that is a faster factor."""
        return self._column(rows) if self._equal_share is None else self._equal_share

    def _column(self, rows):
        """Return the shares of a block's rows, (n_rows, 1)."""
        return self._row_weights[rows].astype(self._dtype)[:, None]

    def go_on_with(self, problem):
        """Change to another Problem with as many rows, which differs in its rows and weights alone."""
        self._problem = problem
        self._set_row_weights()

    def _make_worker(self, n_rows, blocks):
        return Worker(self._architecture, self._layout, n_rows, self._dtype, self._variables.dtype, blocks)

    def __call__(self, theta):
        """Return the Evaluation at theta."""
        # An overflow is an infinite value, which the solver steps back from.
        with np.errstate(over="ignore", invalid="ignore"):
            terms, last_layer = self._after_first_sweep(self.statistics_at(theta))
            swept, gradient = self._gradients()
            terms += swept
            self._penalise_weights(terms, gradient)
            self._variables.pull_back(gradient, self._threads)
            return self._evaluation(terms, gradient, last_layer)

    def value(self, theta):
        """Return the Evaluation at theta without its gradient, which takes most of the time."""
        with np.errstate(over="ignore", invalid="ignore"):
            terms, last_layer = self._after_first_sweep(self.statistics_at(theta))
            terms += self._values()
            self._penalise_weights(terms, np.zeros_like(self._parameters))
            return self._evaluation(terms, None, last_layer)

    # An evaluation is sums over rows, and what the parameters and these sums give. The sums of parts of the rows add up
    # to those of all: these methods are for a part.

    def statistics_at(self, theta):
        """Return the sums over rows that are needed before the first gradient, a dict of arrays."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._set_parameters(theta)
            self._begin_first_sweep()
            return self._statistics() if self._n_swept_first else {}

    def gradients_after(self, statistics):
        """Return the sums of the terms and of the parameters' gradient at the latest theta, given all statistics."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._after_first_sweep(statistics)
            return self._gradients()

    def values_after(self, statistics):
        """Return the sums of the terms at the latest theta, given all statistics."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._after_first_sweep(statistics)
            return self._values()

    def _statistics(self):
        list(self._threads.map(self._sum_statistics_of, self._workers))
        return {name: sum(worker.sums[name] for worker in self._workers) for name in self._workers[0].sums}

    def _gradients(self):
        terms = sum(self._threads.map(self._sweep, self._workers))
        return terms, self._threads.total([worker.gradient for worker in self._workers])

    def _values(self):
        return sum(self._threads.map(self._sweep_values, self._workers))

    def _evaluation(self, terms, gradient, last_layer):
        value = float(terms.sum() + (self._problem.omitted_loss - self._problem.perfect_loss))
        terms[0] += self._problem.omitted_loss
        return Evaluation(value, gradient, terms, last_layer)

    def layers_at(self, theta):
        """Return the layers at theta, in the dtype of the products; they last until the next call."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._set_parameters(theta)
        return self._layers

    def penalty_curvatures(self, theta):
        """Return the curvature, in theta, of the penalties on the weights along each distinct weight, in the unit."""
        self._set_parameters(theta)
        gradient = np.zeros_like(theta)
        self._penalise_weights(self._no_terms(), gradient)
        self._variables.pull_back(gradient, self._threads)
        pairs = zip(*(self._layout.distinct(self._layout.views(flat)[0]) for flat in (theta, gradient)), strict=True)
        curvatures = [np.vdot(W, dW) / max(np.vdot(W, W), SMALLEST) / self.unit for W, dW in pairs]
        return np.maximum(curvatures, 0)

    def parameters(self, theta, evaluation):
        """Return the Parameters at theta, in float64, given the Evaluation there."""
        flat = np.empty(self.size)
        with np.errstate(over="ignore", invalid="ignore"):
            self._variables.to_parameters(theta, flat, self._threads)
            weights, intercepts = self._layout.views(flat)
            if evaluation.last_layer is not None:
                weights, intercepts = (
                    [*parts, last] for parts, last in zip((weights, intercepts), evaluation.last_layer, strict=True)
                )
            parameters = Parameters(weights, intercepts, self._offset).with_output_shift(self._problem.raw_origin)
            return parameters.with_offset(self._problem.offset)

    def _no_terms(self):
        return np.zeros(len(self._problem.term_names))

    def _penalise_weights(self, terms, gradient):
        """Add the values and gradients of the terms that depend on the parameters alone, given the sums over rows."""
        weights, weight_gradients = (self._layout.views(flat)[0] for flat in (self._parameters, gradient))
        for term, penalty in self._on_weights:
            terms[term] += penalty.on_weights(self._layout.distinct(weights), self._layout.distinct(weight_gradients))

    def _set_parameters(self, theta):
        self._variables.to_parameters(theta, self._parameters, self._threads)
        self._compute_parameters[...] = self._parameters

    def _begin_first_sweep(self):
        """Prepare for the sums of a first sweep over all rows, once the parameters are set."""

    def _after_first_sweep(self, statistics):
        """Return the terms that come from the sums of a first sweep, and the last layer if that is eliminated."""
        terms = self._no_terms()
        if statistics:
            mean = statistics["mean_code"]
            self._mean_code = (
                mean if self._mean_code is None else mean + self.mean_code_memory * (self._mean_code - mean)
            )
            self._mean_code_gradient[...] = 0
            for term, penalty in self._on_mean_code:
                terms[term] = penalty.on_mean_code(self._mean_code, self._architecture.code, self._mean_code_gradient)
        return terms, None

    def _noise_gram(self, statistics):
        """Return what a marginal expectation adds to the Gram matrix of the code, (width, width), or None."""

    def _sum_statistics_of(self, worker):
        for part in worker.sums.values():
            part[...] = 0
        with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
            for draw, rows in worker.blocks:
                inputs, outputs = self._block(worker, draw, rows)
                forward(self._layers[: self._n_swept_first], inputs, outputs[: self._n_swept_first])
                self._add_statistics(worker, rows, inputs, outputs)

    def _add_statistics(self, worker, rows, inputs, outputs):
        if self._on_mean_code:
            worker.sums["mean_code"] += self._row_weights[rows] @ outputs[self._architecture.depth - 1]

    def _sweep(self, worker):
        """Return the terms of a worker's rows, and leave their gradient in the worker."""
        worker.gradient[...] = 0
        terms = self._no_terms()
        with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
            for draw, rows in worker.blocks:
                self._add_gradients(worker, rows, *self._add_values(worker, draw, rows, terms))
        return terms

    def _sweep_values(self, worker):
        """Return the terms of a worker's rows."""
        terms = self._no_terms()
        with np.errstate(over="ignore", invalid="ignore"):
            for draw, rows in worker.blocks:
                self._add_values(worker, draw, rows, terms)
        return terms

    def _block(self, worker, draw, rows):
        """Return a block's inputs less their offset, and the buffers of its layers' outputs."""
        n_rows = rows.stop - rows.start
        outputs = [A[:n_rows] for A in worker.outputs]
        if self._codes is not None:
            outputs[0] = self._codes[draw, rows]
        return self._problem.inputs[draw].centred_by(self._rounded_offset, rows, worker.inputs), outputs

    def _add_values(self, worker, draw, rows, terms):
        """Add a block's values to the terms; return what `_add_gradients` needs besides."""
        inputs, outputs = self._block(worker, draw, rows)
        deltas = [delta[: len(outputs[0])] for delta in worker.deltas]
        if self._codes is None:
            forward(self._layers, inputs, outputs)
        else:
            forward(self._layers[1:], Dense(outputs[0]), outputs[1:])
        terms[0] += self._reconstruction(worker, draw, rows, inputs, outputs, deltas[-1])
        return inputs, outputs, deltas, self._penalise_outputs(worker, rows, outputs, terms)

    def _add_gradients(self, worker, rows, inputs, outputs, deltas, own_deltas, /):
        """Add a block's gradients to the worker's."""
        backward(
            self._layers,
            inputs,
            outputs,
            deltas,
            own_deltas,
            worker.weight_gradients,
            worker.intercept_gradients,
            worker.products,
        )

    def _reconstruction(self, worker, draw, rows, inputs, outputs, delta):
        """Write the gradient of the last output into `delta` and return the block's loss."""
        loss, target = self._problem.loss, self._target_block(worker, rows, inputs).dense(worker.targets)
        entry_weights = self._problem.noise and self._problem.noise.entry_weights(draw, rows)
        if entry_weights is None:
            losses = loss.loss_gradient(target, outputs[-1], delta)
        else:
            losses = loss.weighted_loss_gradient(target, outputs[-1], entry_weights, delta)
        delta *= self._shares(rows)
        return self._row_weights[rows] @ losses

    def _target_block(self, worker, rows, inputs):
        """Return a block's targets less their origin, as a factor of products."""
        return inputs if self._is_clean else self._problem.targets.centred_by(self._origin, rows, worker.targets)

    def _penalise_outputs(self, worker, rows, outputs, terms):
        """Add the values of the penalties on the encoder's outputs; return their gradients, one a layer or None."""
        own_deltas = [None] * len(self._layers)
        if not (self._on_rows or self._on_mean_code):
            return own_deltas
        depth, row_weights = self._architecture.depth, self._row_weights[rows]
        encoder, encoded = self._layers[:depth], outputs[:depth]
        own_deltas[:depth] = [delta[: len(row_weights)] for delta in worker.own_deltas]
        for delta in own_deltas[:depth]:
            delta[...] = 0
        if self._on_mean_code:
            code = own_deltas[depth - 1]
            np.multiply.outer(row_weights, self._mean_code_gradient, out=code, casting="same_kind")
            code *= self._architecture.code.derivative(encoded[-1])
        for term, penalty in self._on_rows:
            terms[term] += penalty.on_rows(
                encoder, encoded, row_weights, own_deltas[:depth], worker.weight_gradients[:depth]
            )
        return own_deltas
