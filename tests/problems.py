"""Problems, objectives and their parameters, for tests of the parts below the estimators."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from skae._network.parameters import Layout
from skae._objective import problem
from skae._objective.choice import objective_class
from skae._objective.noise import Noise, PreparedCorruption
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL, RowThreads
from skae._variables.centring import search_variables
from skae._variables.start import theta_of
from skae._weights import Weights


def make_problem(architecture, X, penalties=(), corruption=None, weights=None, n_draws=2, rng=None):
    """Return the Problem of X, with draws of a corruption if there is one."""
    weights, rows, noise = Weights(np.ones(X.shape[0]) if weights is None else weights), rows_of(X), None
    if corruption is not None:
        rng = np.random.default_rng(0) if rng is None else rng
        noise = Noise([rows_of(corrupted(corruption, X, rng, weights[:])) for _ in range(n_draws)])
    statistics = statistics_of([rows], weights, SERIAL)
    return problem.make_problem(architecture, tuple(penalties), rows, weights, statistics, SERIAL, noise)


def subset(whole, rows):
    """Return a problem on some rows, an array of indices; units and statistics stay those of all rows."""
    targets, weights = whole.targets.take(rows), whole.weights.select(rows)
    X, shares = targets.dense().astype(np.float64), weights[:] / weights.sum()
    return replace(
        whole,
        targets=targets,
        noise=whole.noise and whole.noise.take(rows),
        weights=weights,
        perfect_loss=float(whole.loss.perfect(X) @ shares),
        omitted_loss=float(whole.loss.omitted(X) @ shares),
    )


def objective_terms(whole, parameters):
    """Return the terms of the objective at given Parameters, (n_terms,)."""
    layout = Layout(whole.architecture)
    variables, offset = search_variables(whole, layout)
    objective = objective_class(whole)(whole, variables, offset=offset)
    return objective(theta_of(parameters, whole, layout, variables, offset)).terms


def corrupted(corruption, X, rng, weights=None):
    """Return a checked draw of a corruption."""
    weights = np.ones(X.shape[0]) if weights is None else weights
    return PreparedCorruption(corruption, rows_of(X), weights).corrupt(X, rng)


def parameters_at(objective, theta):
    """Return weights and intercepts at theta, with the objective's own offset of the inputs."""
    parameters = objective.parameters(theta, objective(theta))
    return parameters.with_offset(objective._offset)[:2]


def random_theta(objective, seed=1):
    return 0.7 * np.random.default_rng(seed).standard_normal(objective.size)


def assert_the_value_alone_is_the_same(objective, theta):
    """Before and after a gradient, whose buffers it shares."""
    first = objective.value(theta)
    expected = objective(theta)
    for alone in (first, objective.value(theta)):
        assert alone.gradient is None
        np.testing.assert_allclose(alone.value, expected.value, rtol=1e-13)
        np.testing.assert_allclose(alone.terms, expected.terms, rtol=1e-13)
        for part, other in zip(alone.last_layer or (), expected.last_layer or (), strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-13)
    np.testing.assert_array_equal(objective(theta).gradient, expected.gradient)


def assert_block_size_does_not_matter(make_objective, sizes, dtype):
    """`make_objective(block_size=...)` gives the same values and gradients to the rounding of the dtype."""
    first, *others = [make_objective(block_size=size) for size in sizes]
    theta, tolerance = random_theta(first), 20 * np.finfo(dtype).eps
    value, gradient, *_ = first(theta)
    for objective in others:
        other_value, other_gradient, *_ = objective(theta)
        np.testing.assert_allclose(other_value, value, rtol=tolerance)
        np.testing.assert_allclose(other_gradient, gradient, rtol=tolerance, atol=tolerance * np.abs(gradient).max())


def assert_threads_do_not_matter(make_objective, n_threads):
    """`make_objective(block_size=..., threads=...)` gives the same to rounding, and bitwise with the same threads."""
    single = make_objective(block_size=2)
    theta = random_theta(single)
    value, gradient, *_ = single(theta)
    with ThreadPoolExecutor(n_threads) as executor:
        objective = make_objective(block_size=2, threads=RowThreads(n_threads, executor))
        shared_value, shared_gradient, *_ = objective(theta)
        again = objective(theta)
    assert len(objective._workers) == n_threads
    np.testing.assert_allclose(shared_value, value, rtol=1e-13)
    np.testing.assert_allclose(shared_gradient, gradient, rtol=1e-10, atol=1e-13)
    assert again.value == shared_value
    np.testing.assert_array_equal(again.gradient, shared_gradient)
