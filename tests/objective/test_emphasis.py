"""The objective on draws with an emphasis: the weighted losses in NumPy, and the gradient."""

import numpy as np
import pytest
from problems import parameters_at, random_theta
from scipy.special import expit

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.noise import PreparedCorruption, drawn
from skae._objective.problem import make_problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL
from skae._variables.centring import search_variables
from skae._weights import Weights
from skae.activations import ACTIVATIONS
from skae.corruption import Masking, SaltAndPepper, Swap
from skae.losses import make_loss

# Of a target x and a raw output z.
LOSS_FORMULAS = {
    "squared_error": lambda x, z: 0.5 * (x - z) ** 2,
    "cross_entropy": lambda x, z: np.logaddexp(0, z) - x * z,
    "poisson": lambda x, z: np.exp(z) - x * z,
    "categorical": lambda x, z: -x * np.log(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
}
WEIGHTS = np.linspace(1, 3, 40)


def emphasised(corruption, loss, tied=False):
    X = np.random.default_rng(0).uniform(size=(40, 4))
    prepared, rows, g = PreparedCorruption(corruption, rows_of(X), WEIGHTS), rows_of(X), ACTIVATIONS["logistic"]
    architecture = Architecture((4, 3), g, g, make_loss(loss), tied=tied)
    noise = drawn(prepared, rows, architecture.layer_widths, np.random.default_rng(1)).first(3)
    statistics = statistics_of([rows], WEIGHTS, SERIAL)
    problem = make_problem(architecture, (), rows, Weights(WEIGHTS), statistics, SERIAL, noise)
    variables, offset = search_variables(problem, Layout(architecture))
    return problem, Objective(problem, variables, offset=offset)


@pytest.mark.parametrize("loss", LOSS_FORMULAS)
@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
@pytest.mark.parametrize("emphasis", [(3, 1), (1, 0), (0, 1)])
def test_entries_have_the_weights_of_the_draws(kind, loss, emphasis):
    problem, objective = emphasised(kind(0.4, emphasis=emphasis), loss)
    theta = random_theta(objective)
    (W, V), (b, c) = parameters_at(objective, theta)
    X, mean, values = problem.targets.X, 0.4 * emphasis[0] + 0.6 * emphasis[1], []
    for draw in problem.inputs:
        inputs, weights = np.array(draw.dense()), draw.entry_weights(slice(None))
        replaced = inputs != X
        # A swap, or an extreme, may be the entry itself.
        assert np.all(weights[replaced] == emphasis[0] / mean)
        losses = LOSS_FORMULAS[loss](X, expit((inputs - objective._offset) @ W + b) @ V + c)
        values.append(np.average(np.sum(weights * losses, axis=1), weights=WEIGHTS))
    np.testing.assert_allclose(objective(theta).terms.sum(), np.mean(values), rtol=1e-10)


@pytest.mark.parametrize("loss", LOSS_FORMULAS)
@pytest.mark.parametrize("tied", [False, True])
def test_gradient(loss, tied):
    _, objective = emphasised(Masking(0.4, emphasis=(3, 1)), loss, tied)
    theta = random_theta(objective)
    gradient, steps = objective(theta).gradient, 1e-5 * np.eye(objective.size)
    numeric = [(objective(theta + step).value - objective(theta - step).value) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7 * np.abs(gradient).max())
