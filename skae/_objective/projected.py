"""Variable projection: the linear decoder is eliminated, so that the solver searches the other layers alone.

Given the outputs H of the layer below, the last layer's optimum under squared error and weight decay is a ridge
regression, and the gradient for the other layers is the partial one at that optimum. Where the loss weighs the columns,
the ridge of a column is the decay over its weight.

References
----------
G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate", SIAM Journal on Numerical Analysis 10, 1973.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from skae._network.propagation import output
from skae._objective.joint import Objective, Worker
from skae._rows.factors import Dense

# The value is the total variance less the explained one. Where it is less than this many roundings of the total, or
# where the outputs of the layer below are nearly dependent, the residuals themselves are squared.
_ROUNDINGS = 2.0**10


class _ProjectingWorker(Worker):
    def __init__(self, architecture, layout, n_rows, dtype, sum_dtype, blocks):
        super().__init__(architecture, layout, n_rows, dtype, sum_dtype, blocks)
        n_features, width = architecture.layer_widths[-1], architecture.layer_widths[-2]
        self.centred, self.scratch = np.empty((2, n_rows, width), dtype=dtype)
        self.residuals = np.empty((n_rows, n_features), dtype=dtype)
        shapes = {"mean": (width,), "gram": (width, width), "cross": (n_features, width)}
        self.sums |= {name: np.empty(shape) for name, shape in shapes.items()}
        self.gram_product, self.cross_product = (np.empty(shapes[name], dtype=dtype) for name in ("gram", "cross"))


class ProjectedObjective(Objective):
    """The minimum of the objective over its last layer, as a function of the other layers.

    The parameters are those of `Objective`. In the code, D are the outputs of the layer below less their value at the
    mean input, which keeps the digits of a code that hardly varies; x^ = c + D V.
    """

    n_layers = -1

    def __init__(self, problem, variables, **options):
        super().__init__(problem, variables, **options)
        mean = problem.mean
        self._mean_target = mean - self._origin
        self._column_weights = np.broadcast_to(problem.loss.least_squares_weights, mean.shape)
        self._mean_input = (mean.astype(self._dtype) - self._rounded_offset)[None]
        self._decays = self._no_terms()
        for term, penalty in self._on_weights:
            self._decays[term] = penalty.linear_decays[1]

    @property
    def _n_swept_first(self):
        return len(self._layers)

    def _make_worker(self, n_rows, blocks):
        return _ProjectingWorker(self._architecture, self._layout, n_rows, self._dtype, self._variables.dtype, blocks)

    def _begin_first_sweep(self):
        self._centre = self._code_of(output(self._layers, Dense(self._mean_input)))[0]

    def _after_first_sweep(self, statistics):
        terms, _ = super()._after_first_sweep(statistics)
        mean = statistics["mean"]
        gram = statistics["gram"] - np.outer(mean, mean)
        noise_gram = self._noise_gram(statistics)
        if noise_gram is not None:
            gram += noise_gram
        cross = statistics["cross"] - np.outer(self._mean_target, mean)
        precision, total = np.finfo(self._dtype).eps, self._problem.gain
        V, pivot = self._best_weight(gram, cross.T, precision)
        # By roots of the weights, so that the products of V and its transpose stay symmetric.
        roots, c = np.sqrt(self._column_weights), self._mean_target - mean @ V
        scaled_V = V * roots
        weighted_V, VV = scaled_V * roots, scaled_V @ scaled_V.T
        parts = V, c, roots, scaled_V, weighted_V, VV, (c * roots) @ scaled_V.T
        self._products = [part.astype(self._dtype) for part in parts]

        explained = 0.5 * np.vdot(cross, weighted_V.T)
        few_digits = total - explained < _ROUNDINGS * precision * total
        self._from_residuals = few_digits or pivot < np.sqrt(precision)
        quadratic = 0.5 * np.vdot(V, V) * self._decays
        if noise_gram is not None:
            quadratic[-1] = 0.5 * np.vdot(noise_gram, VV)
        if not self._from_residuals:
            terms[0] = total - explained - quadratic.sum()
        # The targets are less the rounded origin, the intercept, as that of an Objective, is less the exact one.
        intercept = c - self._centre.astype(np.float64) @ V + (self._origin - self._problem.raw_origin)
        return terms + quadratic, (V, intercept)

    def _best_weight(self, gram, cross, precision):
        """Return the last layer's weight, (width, n_features), and the smallest pivot of its regressions."""
        V, pivots = np.empty_like(cross), []
        for weight in np.unique(self._column_weights):
            columns = self._column_weights == weight
            V[:, columns], pivot = ridge(gram, cross[:, columns], self._decays.sum() / weight, precision)
            pivots.append(pivot)
        return V, min(pivots)

    def _code_of(self, outputs):
        """Return the outputs of the layer below the last one, given those of the layers that are laid out."""
        return outputs

    def _add_statistics(self, worker, rows, inputs, outputs):
        super()._add_statistics(worker, rows, inputs, outputs)
        n_rows = len(outputs[-1])
        D = np.subtract(outputs[-1], self._centre, out=worker.centred[:n_rows])
        weighted = np.multiply(D, self._shares(rows), out=worker.scratch[:n_rows])
        worker.sums["mean"] += weighted.sum(axis=0)
        worker.sums["gram"] += np.matmul(weighted.T, D, out=worker.gram_product)
        self._target_block(worker, rows, inputs).transposed_times(weighted, out=worker.cross_product)
        worker.sums["cross"] += worker.cross_product

    def _reconstruction(self, worker, draw, rows, inputs, outputs, delta):
        V, c, roots, scaled_V, weighted_V, VV, cV = self._products
        D = np.subtract(outputs[-1], self._centre, out=worker.centred[: len(delta)])
        value = 0.0
        if self._from_residuals:
            residuals = np.matmul(D, V, out=worker.residuals[: len(delta)])
            residuals += c
            residuals -= self._target_block(worker, rows, inputs).dense(worker.targets)
            residuals *= roots
            value = 0.5 * self._row_weights[rows] @ np.einsum("ij,ij->i", residuals, residuals)
            np.matmul(residuals, scaled_V.T, out=delta)
        else:
            # The same, (D V + c - X) times the weights and V^T, without the residuals.
            self._target_block(worker, rows, inputs).times(weighted_V.T, out=delta)
            DVV = np.matmul(D, VV, out=worker.scratch[: len(delta)])
            DVV += cV
            np.subtract(DVV, delta, out=delta)
        delta *= self._shares(rows)
        return value


def ridge(gram, cross, decay, precision):
    """Return V that minimises 1/2 tr(V^T gram V) - tr(V^T cross) + decay / 2 ||V||_F^2, (width, n_targets).

    Directions of `gram` that are zero up to `precision`, its relative rounding, get no weight. The second result says
    how far the matrix is from a singular one: the least share of a unit that the others do not explain. Input that is
    not finite gives NaN.
    """
    A = gram + decay * np.eye(len(gram))
    if not (np.isfinite(A).all() and np.isfinite(cross).all()):
        return np.full_like(cross, np.nan), 0.0
    units = np.sqrt(np.maximum(np.diag(A), 0))
    units[units == 0] = 1
    A /= np.outer(units, units)
    cross = cross / units[:, None]
    smallest = precision * len(A)
    try:
        factor = cho_factor(A, lower=True)
        pivot = np.diag(factor[0]).min() ** 2
        if pivot > smallest:
            return cho_solve(factor, cross) / units[:, None], pivot
    except LinAlgError:
        pass
    variances, axes = eigh(A)
    kept = variances > smallest * variances[-1]
    axes = axes[:, kept]
    return (axes / variances[kept]) @ (axes.T @ cross) / units[:, None], 0.0
