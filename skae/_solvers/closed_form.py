"""The linear autoencoder's optimum in closed form, from the principal axes.

In the frame of the principal axes the objective splits into one term an axis: with the encoder's weight w and the
decoder's v along an axis of variance s, it is s / 2 (1 - w v)^2 + a / 2 w^2 + d / 2 v^2, where a and d are the weight
decays. Its minimum has a w^2 = d v^2 and w v = 1 - sqrt(a d) / s, or w = v = 0 if that is negative. With tied weights,
w = v and one decay a, w^2 = 1 - a / (2 s).

References
----------
P. Baldi and K. Hornik, "Neural networks and principal component analysis: learning from examples without local minima",
Neural Networks 2, 1989.
"""

import numpy as np

from skae._network.parameters import Parameters
from skae._rows.principal_axes import principal_axes
from skae._solvers.result import SolverResult, Status
from skae._solvers.solver import Solver
from skae.activations import ACTIVATIONS


class ClosedForm(Solver):
    """The optimum of the linear autoencoder, from one eigendecomposition."""

    name = "svd"
    is_search = False

    def why_not(self, problem):
        architecture = problem.architecture
        is_linear = architecture.depth == 1 and architecture.code == ACTIVATIONS["identity"]
        if not (is_linear and architecture.loss.is_least_squares):
            return "it is for the linear autoencoder: identity activations, no hidden layers, unweighted squared error"
        if problem.is_corrupted:
            return "the inputs are corrupted"
        if any(penalty.linear_decays is None for penalty in problem.penalties):
            return "of the penalties it takes WeightDecay and Contraction alone"
        encoder, decoder = _decays(problem)
        if not architecture.tied and (encoder > 0) != (decoder > 0):
            return "there is no optimum: an untied decoder undoes the contraction, unless alpha is above 0"
        return None

    def solve(self, problem, context):
        parameters, terms = optimum(problem, context.threads)
        context.history.n_rows_evaluated = len(problem.targets)
        context.history.add_only(terms, lambda: parameters)
        theta = np.concatenate([W.ravel() for W in parameters.weights])
        return SolverResult(Status.CONVERGED, theta, float(terms.sum()))


def _decays(problem):
    """Return the weight decays of the encoder and of the decoder."""
    return np.sum([(0.0, 0.0), *(penalty.linear_decays for penalty in problem.penalties)], axis=0)


def optimum(problem, threads):
    """Return the optimal Parameters, and the objective's terms there."""
    tied, (n_features, size) = problem.architecture.tied, problem.architecture.widths
    targets, mean = problem.targets, problem.mean
    variances, axes, total = principal_axes(targets, problem.weights, mean, threads, size)
    count = len(variances)
    encoder, decoder = _decays(problem)
    strength = encoder / 2 if tied else np.sqrt(encoder) * np.sqrt(decoder)  # the product may overflow
    with np.errstate(divide="ignore"):
        products = np.ones(count) if strength == 0 else np.maximum(1 - strength / variances, 0)
    balance = 1.0 if tied or encoder == 0 else decoder**0.25 / encoder**0.25  # their ratio may underflow
    W, V = np.zeros((n_features, size)), np.zeros((size, n_features))
    W[:, :count] = axes.T * (np.sqrt(products) * balance)
    V[:count] = axes * (np.sqrt(products) / balance)[:, None]
    remainder = max(total - variances.sum(), 0) if count < min(targets.shape) else 0
    decays = [penalty.linear_decays for penalty in problem.penalties]
    squares = np.vdot(W, W), 0 if tied else np.vdot(V, V)
    terms = 0.5 * np.array([variances @ (1 - products) ** 2 + remainder, *np.dot(decays, squares)])
    return Parameters([W, V], [np.zeros(size), mean], mean).with_offset(problem.offset), terms
