"""The variables of a search, in which every layer sees inputs of about zero mean and unit size, and its start."""

from itertools import pairwise

import numpy as np

from skae.moments import column_means, principal_axes, scale_about
from skae.parameters import CentredVariables, glorot
from skae.problem import row_offset

# Principal axes with less than this share of the largest variance are treated as noise and not used as a start.
_AXIS_SHARE = 1e-6

# Columns of real data are correlated: along the leading axes the inputs are a few times longer than the root mean
# square of their entries. Settled by the objective reached on MNIST, USPS and digits: shallow nets gain from it,
# deep ones hardly depend on it.
_LEADING_SPREAD = 4.0


def search_variables(problem, layout, threads):
    """Return the variables of a search, and the offset of its objective's inputs, (n_features,)."""
    mean, input_scale = problem.mean, problem.scale
    if problem.is_corrupted:
        mean = column_means(problem.draws, problem.weights, threads)
        input_scale = scale_about(problem.draws, problem.weights, mean, threads)
    variables = centred_variables(layout, problem.architecture, input_scale or 1.0, problem.scale or 1.0)
    offset = row_offset(mean, input_scale)
    if not offset.any():
        # The first layer's inputs are centred as those of the others are, in the variables alone.
        variables = variables.moved(mean)
    return variables, offset


def centred_variables(layout, architecture, input_scale, output_scale):
    """The solver's variables: every layer sees inputs that are about centred and of unit spread."""
    units = architecture.units(input_scale, output_scale)
    means, spreads = [0.0], [_LEADING_SPREAD]
    for activation, unit in zip(architecture.activations[:-1], units[1:], strict=False):
        mean, spread = _typical_output(activation)
        means.append(unit * mean)
        spreads.append(spread)

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


def fresh_start(problem, layout, variables, init, rng, threads):
    """Return the theta of random weights, with the first layer on the principal axes if `init` is "pca"."""
    weights = [glorot(shape, rng) for shape in layout.weight_shapes]
    if init == "pca":
        _fill_with_principal_axes(weights[0], problem, threads)
    return variables.start(weights, problem.loss.link.inverse(problem.mean) - problem.raw_origin)


def _fill_with_principal_axes(W, problem, threads):
    """Put the principal axes in the first columns, each of the length that Glorot's range gives on average."""
    variances, axes, _ = principal_axes(problem.X, problem.weights, problem.mean, threads, W.shape[1])
    count = int(np.sum(variances > _AXIS_SHARE * variances[0]))
    W[:, :count] = axes[:count].T * np.sqrt(2 * W.shape[0] / sum(W.shape))


def theta_of(parameters, problem, layout, variables, offset):
    """Return the theta of Parameters."""
    parameters = parameters.about(offset)
    flat = np.empty(layout.size)
    weights, intercepts = layout.views(flat)
    for W, value in zip(layout.distinct(weights), parameters.weights, strict=False):
        W[...] = value
    for b, value in zip(intercepts, parameters.intercepts, strict=False):
        b[...] = value
    if layout.is_whole:
        intercepts[-1] -= problem.raw_origin
    return variables.from_parameters(flat)
