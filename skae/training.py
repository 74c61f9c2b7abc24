"""One training run: from validated data and parts to parameters, by way of a centred and scaled objective."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.utils import gen_batches

from skae.moments import column_means, mean_over_rows, principal_axes, scale_about
from skae.network import Architecture, block_rows, output
from skae.objective import Objective
from skae.parameters import CentredVariables, Layout, Parameters, glorot
from skae.solvers import SolverResult
from skae.threads import row_threads

# Principal axes with less than this share of the largest variance are noise, not a start.
_AXIS_SHARE = 1e-6

# Columns of real data are correlated: along the leading axes the inputs are a few times longer than the root mean
# square of their entries. Settled by the objective reached on MNIST, USPS and digits: shallow nets gain from it,
# deep ones hardly depend on it.
_LEADING_SPREAD = 4.0


@dataclass(frozen=True)
class Problem:
    """What is to be minimised.

    Attributes
    ----------
    architecture : Architecture

    penalties : tuple of Penalty

    X : ndarray of shape (n_samples, n_features)
        The targets.

    draws : list of ndarray of shape (n_samples, n_features)
        The inputs: [X], or corruptions of it.

    weights : ndarray of shape (n_samples,)
        Positive.

    mean : ndarray of shape (n_features,)
        Weighted means of X.
    """

    architecture: Architecture
    penalties: tuple
    X: np.ndarray
    draws: list
    weights: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Trained:
    """What came of a problem.

    Attributes
    ----------
    parameters : Parameters
        About the mean of X.

    result : SolverResult
        How the solver came to them.

    trivial : bool
        Whether all rows have the same code, though they differ.
    """

    parameters: Parameters
    result: SolverResult
    trivial: bool


def train(problem, solver, callback, *, start=None, init="glorot", rng=None):
    """Minimise the problem's objective.

    Parameters
    ----------
    problem : Problem

    solver : object with minimize(objective, theta0, callback)

    callback : callable(theta, value)
        Called after every iteration.

    start : Parameters, default=None
        Where to start; None: afresh.

    init : {"glorot", "pca"}, default="glorot"
        How to start afresh.

    rng : numpy.random.Generator, default=None
        What a fresh start draws from.

    Returns
    -------
    Trained
    """
    architecture = problem.architecture
    layout = Layout(architecture)
    same_rows = problem.draws[0] is problem.X
    offset = problem.mean if same_rows else column_means(problem.draws, problem.weights)
    scale = scale_about([problem.X], problem.weights, problem.mean)
    input_scale = scale if same_rows else scale_about(problem.draws, problem.weights, offset)
    variables = centred_variables(layout, architecture, input_scale or 1.0, scale or 1.0)
    if start is None:
        theta = _initial_theta(problem, layout, variables, init, rng)
    else:
        theta = variables.from_parameters(_flatten(layout, start.about(offset)))
    with row_threads() as threads:
        objective = Objective(
            architecture,
            problem.penalties,
            variables,
            draws=problem.draws,
            targets=problem.X,
            weights=problem.weights,
            offset=offset,
            reference=(scale and _reference(problem)) or 1.0,
            threads=threads,
        )
        result = solver.minimize(objective, theta, callback)

    flat = np.empty(layout.size)
    variables.to_parameters(result.x, out=flat)
    parameters = Parameters(*layout.views(flat), offset).about(problem.mean)
    return Trained(parameters, result, trivial=scale > 0 and _code_is_constant(problem, parameters))


def _code_is_constant(problem, parameters):
    """Whether the codes differ by less than half of their digits."""
    architecture = problem.architecture
    encoder = architecture.layers(parameters.weights, parameters.intercepts)[: architecture.depth]
    first = None
    for rows in gen_batches(len(problem.X), block_rows(architecture.widths)):
        codes = output(encoder, problem.X[rows] - parameters.offset)
        first = codes[0] if first is None else first
        if np.abs(codes - first).max() > np.sqrt(np.finfo(problem.X.dtype).eps) * np.abs(first).max():
            return False
    return True


def _reference(problem):
    """What a perfect reconstruction gains over that by the mean."""
    loss = problem.architecture.loss
    return mean_over_rows(lambda block: loss.divergence(block, problem.mean), problem.X, problem.weights)


def centred_variables(layout, architecture, input_scale, output_scale):
    """The solver's variables: every layer sees inputs that are about centred and of unit spread.

    A layer's output has the unit of its input if its activation is homogeneous, and no unit otherwise; the last
    layer's raw output has that of X if the link is homogeneous.
    """
    hidden = architecture.activations[:-1]
    units, means, spreads = [input_scale], [0.0], [_LEADING_SPREAD]
    for activation in hidden:
        units.append(units[-1] if activation.homogeneous else 1.0)
        mean, spread = _typical_output(activation)
        means.append(units[-1] * mean)
        spreads.append(spread)
    units.append(output_scale if architecture.loss.link.homogeneous else 1.0)

    ratios = [unit / input_unit for input_unit, unit in pairwise(units)]
    scales = [ratio / spread for ratio, spread in zip(ratios, spreads, strict=True)]
    if architecture.tied:
        # A tied matrix decodes too: larger than one it would start with far too large reconstructions.
        scales = [min(scales[0], 1.0), *scales[1 : architecture.depth], *ratios[architecture.depth :]]
    offsets = [
        np.full(width, mean) if mean else None for mean, width in zip(means, architecture.layer_widths, strict=False)
    ]
    return CentredVariables(layout, scales, units[1:], offsets)


def _typical_output(activation):
    """Mean and standard deviation of the outputs for standard normal pre-activations, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    weights /= weights.sum()
    outputs = activation.forward(nodes)
    mean = weights @ outputs
    return round(float(mean), 12), float(np.sqrt(weights @ (outputs - mean) ** 2))


def _initial_theta(problem, layout, variables, init, rng):
    weights = [glorot(shape, rng) for shape in layout.weight_shapes]
    if init == "pca":
        _fill_with_principal_axes(weights[0], problem)
    return variables.start(weights, problem.architecture.loss.link.inverse(problem.mean))


def _fill_with_principal_axes(W, problem):
    """Put the principal axes in the first columns, each of the length that Glorot's range gives on average."""
    variances, axes = principal_axes(problem.X, problem.weights, problem.mean)
    count = min(W.shape[1], int(np.sum(variances > _AXIS_SHARE * variances[0])))
    W[:, :count] = axes[:count].T * np.sqrt(2 * W.shape[0] / sum(W.shape))


def _flatten(layout, parameters):
    flat = np.empty(layout.size)
    weights, intercepts = layout.views(flat)
    for W, value in zip(layout.distinct(weights), parameters.weights, strict=False):
        W[...] = value
    for b, value in zip(intercepts, parameters.intercepts, strict=True):
        b[...] = value
    return flat
