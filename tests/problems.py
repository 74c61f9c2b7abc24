"""Problems, objectives and their parameters, for tests of the parts below the estimators."""

import numpy as np

from skae._objective import problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL
from skae.corruption import prepared


def make_problem(architecture, X, penalties=(), corruption=None, weights=None, n_draws=2, rng=None):
    """Return the Problem of X, with draws of a corruption if there is one."""
    weights, rows, draws = np.ones(X.shape[0]) if weights is None else weights, rows_of(X), None
    if corruption is not None:
        rng = np.random.default_rng(0) if rng is None else rng
        draws = [rows_of(corrupted(corruption, X, rng, weights)) for _ in range(n_draws)]
    statistics = statistics_of([rows], weights, SERIAL)
    return problem.make_problem(architecture, tuple(penalties), rows, weights, statistics, SERIAL, draws)


def corrupted(corruption, X, rng, weights=None):
    """Return a checked draw of a corruption."""
    return prepared(corruption, X, np.ones(X.shape[0]) if weights is None else weights)(X, rng)


def parameters_at(objective, theta):
    """Return weights and intercepts at theta, with the objective's own offset of the inputs."""
    parameters = objective.parameters(theta, objective(theta))
    return parameters.with_offset(objective._offset)[:2]
