"""The quality of a result: the share of the attainable gain that it reached, and causes of a low share."""

from dataclasses import dataclass

import numpy as np

from skae._network.network import encode, network_at
from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._objective.problem import mean_loss
from skae._rows.principal_axes import principal_axes
from skae._rows.statistics import column_means
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start

# A result is poor if it gains less than this share of the gain of as many random directions.
_SHARE_OF_RANDOM = 0.1

# A share is far below that of principal components if it is less than this part of it.
FAR_BELOW = 0.75

# A unit is taken for saturated or dead if its activation is flatter than this on nearly all rows.
_FLAT, _NEARLY_ALL = 1e-3, 0.99

# Usual standard deviations of X. Tied weights with a code that has a unit of its own suit only these.
_USUAL_SCALES = 0.1, 10.0


@dataclass(frozen=True, eq=False)
class Verdict:
    """Quality of a result.

    Attributes
    ----------
    share : float
        Gain of clean reconstructions over the mean of the training rows, as a share of the gain of perfect ones.
        Outliers are left out.

    is_poor : bool
        Whether that is less than a tenth of the share of as many random directions.

    pca_share : float or None
        Share that as many principal components gain, if the code's own unit ties the result to the scale of X and that
        is unusual.

    is_dominated : bool
        Whether outliers keep it far below the attainable share of the other rows.

    costs : ndarray of shape (n_penalties,), or None
        The penalties at a fresh start, in units of the gain of as many random directions, if the result is poor.

    flat_units : float or None
        Share of the units whose activation is flat on nearly all rows, if the result is poor.

    out_of_range : tuple of float, or None
        Bounds of the link and extremes of X in the columns that it cannot reach, if the result is poor.

    unmet : tuple of (int, str)
        Penalties, by number, whose aim is missed, and how in words.
    """

    share: float = 1.0
    is_poor: bool = False
    pca_share: float | None = None
    is_dominated: bool = False
    costs: np.ndarray | None = None
    flat_units: float | None = None
    out_of_range: tuple | None = None
    unmet: tuple = ()


def examine(problem, result, threads):
    """Return the Verdict on a TrainingResult."""
    if not problem.scale or not 0 < problem.gain < np.inf:
        return Verdict()
    network = network_at(problem.architecture, result.parameters, problem.targets.dtype)
    unmet = _unmet(problem, network, threads)
    n_components, n_features = problem.architecture.widths[-1], problem.targets.shape[1]
    share = _share(problem, result, threads)
    pca_share = None
    if _is_unit_bound(problem):
        pca_share = _pca_share(problem, problem.weights, problem.mean, threads)
    of_random = min(1, n_components / min(len(problem.targets) - 1, n_features))
    is_dominated = len(problem.outliers) > 0 and share < FAR_BELOW * _attainable(problem, of_random, threads)
    if share >= _SHARE_OF_RANDOM * of_random:
        return Verdict(share, pca_share=pca_share, is_dominated=is_dominated, unmet=unmet)
    costs, flat_units = _costs(problem, threads) / of_random, _flat_units(problem, network, threads)
    return Verdict(share, True, pca_share, is_dominated, costs, flat_units, _out_of_range(problem), unmet)


def is_unusual(scale):
    """Return whether a standard deviation of X is unusually small or large."""
    return not _USUAL_SCALES[0] <= scale <= _USUAL_SCALES[1]


def _share(problem, result, threads):
    """Return the share of the attainable gain, without outliers."""
    if not (problem.is_corrupted or len(problem.outliers)):
        return 1 - (result.terms[0] - problem.perfect_loss) / problem.loss_unit
    return share_on_rows(problem, result, threads)


def share_on_rows(problem, result, threads):
    """Return the share of the attainable gain on the rows but the outliers, by their reconstructions."""
    rows, weights = problem.targets, problem.weights_of_others

    def perfect(block):
        return weights[block] @ problem.loss.perfect(rows.dense(block).astype(np.float64))

    loss = mean_loss(problem, rows, weights, threads, result.parameters)
    return 1 - (loss - rows.sum(perfect, threads) / weights.sum()) / problem.loss_unit


def _attainable(problem, of_random, threads):
    """Return a share that the rows but the outliers could gain: of principal components, or of random directions."""
    if not problem.loss.is_least_squares:
        return of_random
    weights = problem.weights_of_others
    return _pca_share(problem, weights, column_means([problem.targets], weights, threads), threads)


def _is_unit_bound(problem):
    """Whether X has an unusual scale that the code cannot follow: a tied matrix encodes and decodes."""
    architecture = problem.architecture
    has_own_unit = architecture.tied and not architecture.code.homogeneous
    return has_own_unit and architecture.loss.is_least_squares and is_unusual(problem.scale)


def _pca_share(problem, weights, mean, threads):
    n_components = problem.architecture.widths[-1]
    variances, _, total = principal_axes(problem.targets, weights, mean, threads, n_components)
    return float(variances.sum() / total)


def _out_of_range(problem):
    low, high, least, largest = np.broadcast_arrays(*problem.loss.bounds, *problem.targets.extremes())
    beyond = problem.loss.takes_any_unit & ((least < low) | (largest > high))
    return (low[beyond].min(), high[beyond].max(), least[beyond].min(), largest[beyond].max()) if beyond.any() else None


def _costs(problem, threads):
    """Return the penalties at a fresh start, in the unit of the loss."""
    layout = Layout(problem.architecture)
    variables, offset = search_variables(problem, layout)
    objective = objective_class(problem)(problem, variables, offset=offset, threads=threads)
    start = fresh_start(problem, layout, variables, np.random.default_rng(0))
    return objective(start).terms[1 : 1 + len(problem.penalties)] / problem.loss_unit


def _mean_of_codes(values, problem, network, threads):
    """Return the mean, over rows and corruptions, of `values`, a function of a block of codes."""
    weights = problem.weights
    total = sum(
        rows.sum(lambda block, rows=rows: weights[block] @ values(encode(network, rows, block)), threads)
        for rows in problem.inputs
    )
    return total / (weights.sum() * len(problem.inputs))


def _unmet(problem, network, threads):
    on_mean_code = [index for index, penalty in enumerate(problem.penalties) if penalty.acts_on == "mean_code"]
    if not on_mean_code:
        return ()
    mean = _mean_of_codes(lambda codes: codes, problem, network, threads)
    misses = ((index, problem.penalties[index].unmet(mean, problem.architecture.code)) for index in on_mean_code)
    return tuple((index, words) for index, words in misses if words is not None)


def _flat_units(problem, network, threads):
    slope = problem.architecture.code.derivative
    flat = _mean_of_codes(lambda codes: np.abs(slope(codes)) < _FLAT, problem, network, threads)
    return float(np.mean(flat > _NEARLY_ALL))
