"""The start of a search: random weights, principal axes, or the parameters of a previous fit."""

import numpy as np

# Principal axes with less than this share of the largest variance are treated as noise and not used as a start.
_AXIS_SHARE = 1e-6


def fresh_start(problem, layout, variables, rng, axes=None):
    """Return the theta of random weights, with the first layer on principal axes if there are any.

    Parameters
    ----------
    problem : Problem

    layout : Layout

    variables : CentredVariables

    rng : numpy.random.Generator

    axes : tuple of ndarray, default=None
        The variances along the first principal axes of the targets, and the axes, one a row.
    """
    weights = [glorot(shape, rng) for shape in layout.weight_shapes]
    if axes is not None:
        _fill_with_axes(weights[0], *axes)
    output = problem.loss.raw_output(problem.mean) - problem.raw_origin
    return variables.start(weights, output, _start_code(problem))


def _start_code(problem):
    """Return the pre-activation and the output about which the penalties want the code to start, or None."""
    architecture = problem.architecture
    for penalty in problem.penalties:
        code = penalty.start_code(architecture)
        if code is not None:
            return float(architecture.code.inverse(np.array([code]))[0]), code
    return None


def glorot(shape, rng):
    """Return weights from Glorot and Bengio's uniform range, whose variance suits inputs of unit variance."""
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)


def _fill_with_axes(W, variances, axes):
    """Put the principal axes in the first columns, each of the length that Glorot's range gives on average."""
    count = int(np.sum(variances > _AXIS_SHARE * variances[0]))
    W[:, :count] = axes[:count].T * np.sqrt(2 * W.shape[0] / sum(W.shape))


def theta_of(parameters, problem, layout, variables, offset):
    """Return the theta of Parameters."""
    parameters = parameters.with_offset(offset)
    flat = np.empty(layout.size)
    weights, intercepts = layout.views(flat)
    for W, value in zip(layout.distinct(weights), parameters.weights, strict=False):
        W[...] = value
    for b, value in zip(intercepts, parameters.intercepts, strict=False):
        b[...] = value
    if layout.is_whole:
        intercepts[-1] -= problem.raw_origin
    return variables.from_parameters(flat)
