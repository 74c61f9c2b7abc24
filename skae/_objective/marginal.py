r"""The expectation over a corruption of the inputs, by its mean and variance: one-layer encoder, squared error.

Let m be the mean of row i's corrupted input and v its variance. The pre-activation of unit j has the mean
a = w_j^T m + b_j and the variance q = sum_k v_k w_kj^2. As a sum over many features it is about Gaussian, and the
expectations of the output g and of its derivatives are taken over the three nodes of the Gauss-Hermite rule,

    h = E g,  s = E g',  t = E g'',    E f = 2/3 f(a) + 1/6 f(a + sqrt(3 q)) + 1/6 f(a - sqrt(3 q)).

Under squared error, with the decoder V and * entry by entry,

    E l = mean_i 1/2 ||V^T h_i + c - x_i||^2 + 1/2 tr(V^T M V),
    M = (mean_i s_i s_i^T) * K + 1/2 (mean_i t_i t_i^T) * K * K,    K = W^T D W,  D = diag(mean_i v_i).

M are the first two terms of the covariance of functions of Gaussian variables with the covariance K. For Gaussian
noise the whole is exact to third order in its level. For other corruptions v depends on the row, and the product of
means stands for the mean of the products.

References
----------
M. Chen, K. Weinberger, F. Sha and Y. Bengio, "Marginalized denoising auto-encoders for nonlinear representations",
ICML 2014, where M is diagonal and of first order: duplicated units evade that.
"""

from itertools import pairwise

import numpy as np

from skae._network.architecture import Layer
from skae._network.propagation import backward, forward
from skae._objective.joint import Objective
from skae._objective.projected import ProjectedObjective
from skae._rows.factors import Dense
from skae._rows.threads import SERIAL
from skae.activations import ACTIVATIONS

# Weights of the node a and of each of a +- sqrt(3 q).
_CENTRAL, _OUTER = 2 / 3, 1 / 6


class _Marginal:
    """What an objective does otherwise if the expectation over the corruption is taken by its Moments.

    The inputs are the clean rows: the mean of the corrupted ones is (1 - share) x + share filling, so that the first
    layer gets the weight (1 - share) W and another intercept. Its outputs are the pre-activations.
    """

    _n_swept_first = 1

    def __init__(self, problem, variables, *, threads=SERIAL, **options):
        super().__init__(problem, variables, threads=threads, **options)
        share, filling, variance = problem.moments
        self._kept, self._factor, self._variance = 1 - share, share * (1 - share), variance
        self._filling = filling.astype(self._dtype)
        self._shift = share * (filling - self._offset)
        (n_features, size), dtype = problem.architecture.widths, self._dtype
        self._variances, self._groups = problem.noise.variances.astype(self._dtype), _Groups(problem.noise.group_of)
        self._covariances = np.empty((len(self._variances), size, size), self._dtype)
        self._layers[0] = Layer(np.empty((n_features, size), dtype), np.empty(size, dtype), ACTIVATIONS["identity"])

    def _lay_out_rows(self, block_size):
        super()._lay_out_rows(block_size)
        share, _, _ = self._problem.moments
        # Distances of the outer nodes, row by row if they depend on the row.
        n_spreads = len(self._row_weights) if share * (1 - share) else 0
        self._spreads = np.empty((n_spreads, self._architecture.widths[-1]), self._dtype)

    def _make_worker(self, n_rows, blocks):
        worker = super()._make_worker(n_rows, blocks)
        n_features, size = self._architecture.widths
        worker.squares = np.empty((n_rows, n_features), self._dtype)
        shape = len(self._problem.noise.variances), size, size
        worker.sums |= {"slopes": np.empty(shape), "curvatures": np.empty(shape)}
        return worker

    def _set_parameters(self, theta):
        super()._set_parameters(theta)
        weights, intercepts = self._layout.views(self._parameters)
        W, encoder = weights[0], self._layers[0]
        encoder.weight[...] = self._kept * W
        encoder.intercept[...] = intercepts[0] + self._shift @ W
        squares = np.square(W)
        self._squares, of_all = (3 * self._factor * squares).astype(self._dtype), 3 * (self._variance @ squares)
        self._spread_of_all = of_all.astype(self._dtype)
        # Squares of X times gradients may leave the range that squares of X times weights are in.
        self._sizes = np.abs(W).max(axis=0)
        self._relative = np.divide(W, self._sizes, out=np.zeros_like(W), where=self._sizes > 0)
        self._set_covariances(W.astype(self._dtype))

    def _set_covariances(self, W):
        """Set K of each group."""

        def fill(number):
            with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
                np.matmul(W.T * self._variances[number], W, out=self._covariances[number])

        list(self._threads.map(fill, range(len(self._variances))))

    def _noise_gram(self, statistics):
        """Return M."""
        slopes, curvatures = statistics["slopes"], statistics["curvatures"]
        return np.sum((slopes + 0.5 * curvatures * self._covariances) * self._covariances, axis=0)

    def _after_first_sweep(self, statistics):
        terms, last_layer = super()._after_first_sweep(statistics)
        weights, _ = self._layout.views(self._parameters)
        W, V = weights[0], weights[1] if last_layer is None else last_layer[0]
        roots = np.sqrt(self._problem.loss.least_squares_weights)
        scaled_V = V * roots
        VV, K, M = scaled_V @ scaled_V.T, self._covariances, self._noise_gram(statistics)
        self._of_slopes, self._of_curvatures = (part.astype(self._dtype) for part in (K * VV, 0.5 * K * K * VV))
        slopes, curvatures = statistics["slopes"], statistics["curvatures"]
        of_covariances = (slopes + curvatures * K) * VV
        self._own_gradients = [self._of_covariances(W, of_covariances)]
        if last_layer is None:
            terms[-1] = 0.5 * np.vdot(M, VV)
            self._own_gradients.append(M @ (scaled_V * roots))
        return terms, last_layer

    def _of_covariances(self, W, parts):
        """Return the gradient of W, given half of those of the groups' covariances."""
        W, parts, n_threads = W.astype(self._dtype), parts.astype(self._dtype), self._threads.n_threads

        def add(first):
            total = np.zeros_like(W)
            with np.errstate(over="ignore", invalid="ignore"):
                for v, part in zip(self._variances[first::n_threads], parts[first::n_threads], strict=True):
                    total += v[:, None] * (W @ part)
            return total

        return sum(self._threads.map(add, range(min(n_threads, len(parts)))))

    def _penalise_weights(self, terms, gradient):
        super()._penalise_weights(terms, gradient)
        weight_gradients, intercept_gradients = self._layout.views(gradient)
        weight_gradients[0] += np.outer(self._shift, intercept_gradients[0])
        for dW, part in zip(weight_gradients, self._own_gradients, strict=True):
            dW += part

    def _code_of(self, outputs):
        return self._architecture.code.forward(outputs.copy())

    def _add_statistics(self, worker, rows, inputs, outputs):
        if self._factor:
            spreads = self._spreads[rows]
            self._squared_deviations(worker, rows).times(self._squares, out=spreads)
            spreads += self._spread_of_all
            np.sqrt(np.maximum(spreads, 0, out=spreads), out=spreads)
        nodes = _Nodes(self._architecture.code, outputs[0], self._spreads_of(rows))
        shares = self._column(rows)
        for name, derivative in (("slopes", nodes.slope), ("curvatures", nodes.curvature)):
            self._groups.add_moments(rows, derivative, shares, worker.sums[name])
        super()._add_statistics(worker, rows, inputs, [nodes.output])

    def _squared_deviations(self, worker, rows):
        return self._problem.targets.squared_deviations(self._filling, rows, worker.squares)

    def _spreads_of(self, rows):
        return self._spreads[rows] if self._factor else np.sqrt(self._spread_of_all)[None]

    def _add_values(self, worker, draw, rows, terms):
        inputs, outputs = self._block(worker, draw, rows)
        deltas = [delta[: len(outputs[0])] for delta in worker.deltas]
        nodes = _Nodes(self._architecture.code, outputs[0], self._spreads_of(rows))
        outputs = [nodes.output, *outputs[1:]]
        forward(self._layers[1:], Dense(outputs[0]), outputs[1:])
        terms[0] += self._reconstruction(worker, draw, rows, inputs, outputs, deltas[-1])
        return inputs, nodes, outputs, deltas

    def _add_gradients(self, worker, rows, inputs, nodes, outputs, deltas):
        above = self._layers[1:]
        backward(
            above,
            Dense(outputs[0]),
            outputs[1:],
            deltas[1:],
            [None] * len(above),
            worker.weight_gradients[1:],
            worker.intercept_gradients[1:],
            worker.products[1:],
        )
        if above:
            np.matmul(deltas[1], above[0].weight.T, out=deltas[0])
        of_slope = self._groups.products(rows, nodes.slope, self._of_slopes)
        of_curvature = self._groups.products(rows, nodes.curvature, self._of_curvatures)
        of_slope *= self._shares(rows)
        of_curvature *= self._shares(rows)
        self._encode_backward(worker, rows, inputs, *nodes.backward(deltas[0], of_slope, of_curvature))

    def _encode_backward(self, worker, rows, inputs, delta, delta_q):
        """Add the gradients of the encoder, given those of the pre-activations' means and of three times variances."""
        product = worker.products[0]
        inputs.transposed_times(delta, out=product)
        worker.weight_gradients[0] += self._kept * product
        worker.intercept_gradients[0] += delta.sum(axis=0)
        delta_q *= self._sizes.astype(self._dtype)
        squares = np.multiply.outer(self._variance, delta_q.sum(axis=0, dtype=np.float64))
        if self._factor:
            self._squared_deviations(worker, rows).transposed_times(delta_q, out=product)
            squares += self._factor * product
        squares *= 6 * self._relative
        worker.weight_gradients[0] += squares


class MarginalObjective(_Marginal, Objective):
    """The Objective in expectation over a corruption, by its moments."""


class MarginalProjectedObjective(_Marginal, ProjectedObjective):
    """The ProjectedObjective in expectation over a corruption, by its moments: M joins the Gram matrix."""


class _Groups:
    """Sums and products in which every group of rows has a matrix of its own.

    Parameters
    ----------
    group_of : ndarray of shape (n_rows,)
        Numbers of the groups.
    """

    def __init__(self, group_of):
        self._group_of, self._parts_of = group_of, {}

    def _parts(self, rows):
        """Return the order that sorts a slice of the rows by groups, and pairs of a group and its slice there."""
        key = rows.start, rows.stop
        if key not in self._parts_of:
            group_of = self._group_of[rows]
            order = np.argsort(group_of, kind="stable")
            numbers, starts = np.unique(group_of[order], return_index=True)
            edges = pairwise([*starts, len(order)])
            self._parts_of[key] = order, [(number, slice(*edge)) for number, edge in zip(numbers, edges, strict=True)]
        return self._parts_of[key]

    def add_moments(self, rows, A, shares, out):
        """Add the second moment of A's columns, rows weighted by their shares, of each group to its matrix."""
        order, parts = self._parts(rows)
        A = A[order]
        weighted = A * shares[order]
        for number, part in parts:
            out[number] += weighted[part].T @ A[part]

    def products(self, rows, A, matrices):
        """Return the product of each row of A with the matrix of its group."""
        order, parts = self._parts(rows)
        A = A[order]
        products, result = np.empty_like(A), np.empty_like(A)
        for number, part in parts:
            np.matmul(A[part], matrices[number], out=products[part])
        result[order] = products
        return result


class _Nodes:
    """An activation at the three nodes of its pre-activations' distributions.

    Parameters
    ----------
    activation : Activation

    a : ndarray of shape (n_rows, n_units)
        Means of the pre-activations.

    spread : ndarray of shape (n_rows or 1, n_units)
        Distance of the outer nodes.

    Attributes
    ----------
    output, slope, curvature : ndarray of shape (n_rows, n_units)
        Expectations of the output and of its first two derivatives.
    """

    def __init__(self, activation, a, spread):
        self._activation, self._spread = activation, spread
        self._outputs = activation.forward(np.stack([a, a + spread, a - spread]))
        self._slopes, self._curvatures = (
            derivative(self._outputs) for derivative in (activation.derivative, activation.second_derivative)
        )
        self.output, self.slope, self.curvature = map(_expectation, (self._outputs, self._slopes, self._curvatures))

    def backward(self, of_output, of_slope, of_curvature):
        """Return the gradients of `a` and of the squared spread, given those of the three expectations."""
        deltas, thirds = self._slopes, self._activation.third_derivative(self._outputs)
        for part, gradient in ((deltas, of_output), (self._curvatures, of_slope), (thirds, of_curvature)):
            part *= gradient
        deltas += self._curvatures
        deltas += thirds
        # Without a spread the nodes are one, and the second result belongs to variances that are zero for all weights.
        of_spread = np.zeros_like(of_output)
        np.divide(deltas[1] - deltas[2], 2 * self._spread, out=of_spread, where=self._spread > 0)
        of_spread *= _OUTER
        return _expectation(deltas), of_spread


def _expectation(at_nodes):
    result = at_nodes[1] + at_nodes[2]
    result *= _OUTER
    result += _CENTRAL * at_nodes[0]
    return result
