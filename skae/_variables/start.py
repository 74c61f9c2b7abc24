"""The variables of a search, in which every layer sees inputs of about zero mean and unit size, and its start."""

import numpy as np

from skae._rows.principal_axes import principal_axes

# Principal axes with less than this share of the largest variance are treated as noise and not used as a start.
_AXIS_SHARE = 1e-6


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


def glorot(shape, rng):
    """Return weights from Glorot and Bengio's uniform range, whose variance suits inputs of unit variance."""
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)
