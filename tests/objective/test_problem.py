"""The problem of a fit: the mean loss of other rows, outliers, the scale of codes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import make_problem
from scipy.special import expit, xlogy

from skae._network.architecture import Architecture
from skae._network.parameters import Parameters
from skae._objective.problem import code_scale, mean_loss
from skae._rows.blocks import rows_of
from skae._rows.threads import SERIAL
from skae.activations import ACTIVATIONS
from skae.losses import make_loss


def problem_of(X, weights=None, loss="squared_error"):
    """The loss of a logistic autoencoder of two units."""
    g = ACTIVATIONS["logistic"]
    return make_problem(Architecture((X.shape[1], 2), g, g, make_loss(loss), tied=False), X, weights=weights)


def parameters_of(problem, scale, shift):
    rng, n_features = np.random.default_rng(1), problem.targets.shape[1]
    weights = [scale * rng.standard_normal(shape) for shape in ((n_features, 2), (2, n_features))]
    return Parameters(weights, [np.array([0.2, -0.3]), shift + 0.1 * rng.standard_normal(n_features)], problem.mean)


# The mean loss of held-out rows.


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_mean_loss_of_rows_far_from_zero(loss, rng):
    """The search uses the loss about the mean of X; early stopping reports the loss itself."""
    X = rng.poisson(1000, (50, 4)).astype(float)
    train, held_out, weights = X[:30], X[30:], rng.uniform(0.5, 2, 20)
    problem = problem_of(train, loss=loss)
    assert_array_equal(problem.origin, problem.mean)
    parameters = parameters_of(problem, 0.03, shift=1000 if loss == "squared_error" else np.log(1000))
    (W, V), (b, c), offset = parameters
    raw = expit((held_out - offset) @ W + b) @ V + c
    if loss == "squared_error":
        losses = 0.5 * np.sum((raw - held_out) ** 2, axis=1)
    else:
        losses = np.sum(np.exp(raw) - xlogy(held_out, np.exp(raw)), axis=1)
    expected = np.average(losses, weights=weights)
    assert_allclose(mean_loss(problem, rows_of(held_out), weights, SERIAL, parameters), expected, rtol=1e-10)


# Statistics of the rows.


def test_outliers_are_far_from_the_bulk_of_the_weight():
    """A weight is so many rows: here 800 rows at 1 and -1, in four pieces, and eight outliers."""
    X = np.array([1.0, -1, 1, -1, *[100, -100] * 4])[:, None]
    weights = np.array([200.0] * 4 + [1] * 8)
    assert_array_equal(problem_of(X, weights).outliers, np.arange(4, 12))
    counts = weights.astype(int)
    repeated = problem_of(np.repeat(X, counts, axis=0))
    assert_array_equal(repeated.outliers, np.flatnonzero(np.repeat(np.abs(X[:, 0]) == 100, counts)))


@pytest.mark.parametrize(("dtype", "spread"), [(np.float32, 1e-3), (np.float64, 1e-9)])
def test_codes_that_vary_little_still_have_their_scale(dtype, spread, rng):
    """Only a scale of a few roundings, in the dtype of X, is replaced by 1."""
    problem = problem_of(rng.standard_normal((40, 3)).astype(dtype))
    parameters = parameters_of(problem, spread, shift=0)
    slopes = expit(parameters.intercepts[0]) * expit(-parameters.intercepts[0])
    Z = problem.targets.X.astype(np.float64) @ parameters.weights[0]
    expected = np.sqrt(np.mean(np.var(Z * slopes, axis=0)))
    assert_allclose(code_scale(problem, parameters), expected, rtol=1e-3)
