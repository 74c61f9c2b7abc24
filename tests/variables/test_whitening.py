"""The change of variables that whitens the layers."""

from dataclasses import replace

import numpy as np
import pytest
from problems import make_problem
from scipy.special import expit

from skae import AutoencoderTransformer
from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._rows.threads import SERIAL
from skae._variables.centring import centred_variables
from skae._variables.whitening import whitened
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, make_loss
from skae.penalties import WeightDecay

WIDTHS = (6, 4, 5, 3)


def grid_problem(activation="logistic", loss="squared_error", depth=1, tied=False, n_samples=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(n_samples, 3)) @ rng.uniform(size=(3, WIDTHS[0])) / 3).astype(dtype)
    g = ACTIVATIONS[activation]
    architecture = Architecture((*WIDTHS[:depth], WIDTHS[-1]), g, g, make_loss(loss), tied)
    return make_problem(architecture, X, [WeightDecay(0.1)])


def variables_of(problem):
    return centred_variables(Layout(problem.architecture), problem.architecture, 0.6, 0.7)


def random_theta(variables, seed=1):
    return 0.7 * np.random.default_rng(seed).standard_normal(variables.layout.size)


def parameters_of(variables, theta):
    flat = np.empty_like(theta)
    variables.to_parameters(theta, flat, SERIAL)
    return flat


grid = pytest.mark.parametrize(
    ("activation", "loss", "depth", "tied"),
    [(g, loss, depth, tied) for g in ACTIVATIONS for loss in LOSSES for depth in (1, 3) for tied in (False, True)],
)


@grid
def test_the_parameters_stay_the_same(activation, loss, depth, tied):
    problem = grid_problem(activation, loss, depth, tied)
    variables = variables_of(problem)
    theta = random_theta(variables)
    better, moved = whitened(problem, variables, theta, problem.mean, SERIAL)
    assert np.abs(moved - theta).max() > 0.1
    np.testing.assert_allclose(parameters_of(better, moved), parameters_of(variables, theta), rtol=1e-9, atol=1e-11)
    other = random_theta(variables, seed=2)
    there_and_back = better.from_parameters(parameters_of(better, other))
    np.testing.assert_allclose(there_and_back, other, rtol=1e-9, atol=1e-11)


@grid
def test_gradients_are_pulled_back_by_the_transpose(activation, loss, depth, tied):
    problem = grid_problem(activation, loss, depth, tied)
    better, theta = whitened(problem, variables_of(problem), random_theta(variables_of(problem)), problem.mean, SERIAL)
    rng = np.random.default_rng(3)
    step, gradient = rng.standard_normal((2, better.layout.size))
    moved = parameters_of(better, theta + step) - parameters_of(better, theta)
    expected = gradient @ moved
    better.pull_back(gradient, SERIAL)
    np.testing.assert_allclose(gradient @ step, expected, rtol=1e-9)


@pytest.mark.parametrize("tied", [False, True])
def test_objective_and_its_gradient_in_whitened_variables(tied):
    problem = grid_problem("tanh", "cross_entropy", depth=3, tied=tied)
    plain = variables_of(problem)
    theta = random_theta(plain)
    better, moved = whitened(problem, plain, theta, problem.mean, SERIAL)
    before, after = (Objective(problem, v, offset=problem.mean) for v in (plain, better))
    np.testing.assert_allclose(after(moved)[0], before(theta)[0], rtol=1e-12)
    direction = np.random.default_rng(2).standard_normal(len(moved))
    numeric = (after(moved + 1e-6 * direction)[0] - after(moved - 1e-6 * direction)[0]) / 2e-6
    np.testing.assert_allclose(after(moved)[1] @ direction, numeric, rtol=1e-6, atol=1e-8)


def test_least_squares_has_the_same_curvature_in_all_directions(monkeypatch):
    """A linear layer's Hessian under squared error is the covariance of its inputs: whitened, the unit matrix."""
    monkeypatch.setattr("skae._variables.whitening._INPUT_DAMPING", 1e-9)
    monkeypatch.setattr("skae._variables.whitening._GRADIENT_DAMPING", 1e9)
    problem = replace(grid_problem("identity", depth=1), penalties=())
    better, theta = whitened(problem, variables_of(problem), random_theta(variables_of(problem)), problem.mean, SERIAL)
    objective = Objective(problem, better, offset=problem.mean)
    n_encoder = WIDTHS[0] * WIDTHS[-1]
    decoder = np.arange(n_encoder, 2 * n_encoder)
    steps = np.eye(len(theta))[decoder]
    hessian = np.array([objective(theta + step)[1] - objective(theta - step)[1] for step in steps])[:, decoder] / 2
    np.testing.assert_allclose(hessian, hessian[0, 0] * np.eye(n_encoder), atol=1e-6 * hessian[0, 0])


# The second moments, by hand.


def one_layer(X, width, activation, tied=False, weights=None):
    """The squared error of an autoencoder with one layer each way, without penalties."""
    g = ACTIVATIONS[activation]
    architecture = Architecture((X.shape[1], width), g, g, make_loss("squared_error"), tied)
    return make_problem(architecture, X, weights=weights)


def per_mean_eigenvalue(moment):
    return moment / (np.trace(moment) / len(moment))


def damped(moment, damping):
    return per_mean_eigenvalue(per_mean_eigenvalue(moment) + damping * np.eye(len(moment)))


def curvature(variables, kind, layer):
    """The curvature of a layer's weights (kind 0) or intercept (1) that these variables turn into the unit matrix.

    If the parameters are J theta, this is J^-T J^-1, up to a factor.
    """
    size = variables.layout.size
    index = variables.layout.views(np.arange(size))[kind][layer].ravel()
    J = np.array([parameters_of(variables, unit) for unit in np.eye(size)[index]])[:, index].T
    return per_mean_eigenvalue(np.linalg.inv(J @ J.T))


def moments(problem, parameters, activation, derivative):
    """For encoder and decoder: the covariance of the inputs, and the second moment of the gradients.

    The decoder's intercept, c, is relative to the mean of X.
    """
    (W, V), (b, c) = parameters
    X, weights = problem.targets.X - problem.mean, problem.weights[:] / problem.weights.sum()
    H = activation(X @ W + b)
    errors = H @ V + c - X
    gradients = (errors @ V.T) * derivative(H)
    covariances = [np.cov(A.T, aweights=weights, ddof=0) for A in (X, H)]
    return list(zip(covariances, [(D.T * weights) @ D for D in (gradients, errors)], strict=True))


@pytest.fixture
def dampings(monkeypatch):
    """Of inputs and gradients. The package's own were chosen by experiment, so the formulas are tested with others."""
    monkeypatch.setattr("skae._variables.whitening._INPUT_DAMPING", 0.2)
    monkeypatch.setattr("skae._variables.whitening._GRADIENT_DAMPING", 0.4)
    return 0.2, 0.4


def test_layers_are_whitened_by_the_moments_of_their_inputs_and_gradients(dampings, rng):
    """Rows count by their weights; the gradients are those at the parameters also where X is far from zero.

    The raw output keeps its variables.
    """
    X = 20 + rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6))
    problem = one_layer(X, 3, "tanh", weights=np.logspace(-2, 1, len(X)))
    variables = variables_of(problem)
    theta = random_theta(variables)
    better, _ = whitened(problem, variables, theta, problem.mean, SERIAL)
    parameters = variables.layout.views(parameters_of(variables, theta))
    for layer, (C, D) in enumerate(moments(problem, parameters, np.tanh, lambda H: 1 - H**2)):
        left, right = damped(C, dampings[0]), np.eye(6) if layer else damped(D, dampings[1])
        np.testing.assert_allclose(curvature(better, 0, layer), np.kron(left, right), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(curvature(better, 1, layer), right, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("inputs", "shift", "least", "most"),
    [([2, 3], 100, 1e3, np.inf), ([0, 1], 100, 0, 1e-3), ([1, 2], 5, 0.1, 10)],
    ids=["encoder", "decoder", "both"],
)
def test_a_tied_matrix_is_whitened_for_the_sum_of_its_curvatures(dampings, rng, inputs, shift, least, most):
    """Its curvature as the decoder's may be thousands of times that as the encoder's, or the other way round.

    Their sum is not a Kronecker product; a partial trace stands in for it, on the side of the features.
    """
    X = rng.standard_normal((50, 4)) * [10, 8, 0.1, 0.2]
    X -= X.mean(axis=0)
    problem = one_layer(X, 2, "identity", tied=True)
    variables = variables_of(problem)
    flat = np.zeros(variables.layout.size)
    (W, _), (_, c) = parameters = variables.layout.views(flat)
    W[inputs] = [[0.9, 0.1], [-0.2, 0.9]]
    c[2:] = shift
    better, _ = whitened(problem, variables, variables.from_parameters(flat), problem.mean, SERIAL)

    (C, D), (C_decoder, D_decoder) = moments(problem, parameters, lambda Z: Z, np.ones_like)
    encoder, decoder = np.kron(C, D), np.kron(D_decoder, C_decoder)
    assert least < np.trace(encoder) / np.trace(decoder) < most
    total = (encoder + decoder).reshape(4, 2, 4, 2)
    expected = np.kron(damped(np.einsum("ikjk->ij", total), dampings[0]), np.eye(2))
    np.testing.assert_allclose(curvature(better, 0, 0), expected, rtol=1e-8, atol=1e-10)


def test_damping_is_about_the_mean_eigenvalue():
    """A factor of three matters little. With far less damping noise is amplified; with far more nothing is whitened.

    On data along one line every moment has rank one. Damped, one of width n has a condition number of 1 + n / damping.
    """
    line = np.linspace(-1, 1, 40)[:, None] * [1.0, -2, 3, 1, 2, 1]
    problem = one_layer(line, 3, "identity")
    variables = variables_of(problem)
    flat = np.zeros(variables.layout.size)
    for W in variables.layout.views(flat)[0]:
        W[...] = 0.1 * np.random.default_rng(1).standard_normal(W.shape)
    better, _ = whitened(problem, variables, variables.from_parameters(flat), problem.mean, SERIAL)
    for layer, (fan_in, fan_out) in enumerate([(6, 3), (3, 6)]):
        of_gradients = np.linalg.cond(curvature(better, 1, layer))
        of_inputs = np.linalg.cond(curvature(better, 0, layer)) / of_gradients
        assert 1 + fan_in / 0.9 < of_inputs < 1 + fan_in / 0.1
        assert of_gradients == 1 if layer else 1 + fan_out / 3 < of_gradients < 1 + 3 * fan_out


@pytest.mark.parametrize(
    ("dtype", "spread", "is_constant"), [(np.float64, 1e-15, True), (np.float32, 1e-7, True), (np.float64, 1e-9, False)]
)
def test_codes_that_differ_by_rounding_alone_are_constant(dampings, rng, dtype, spread, is_constant):
    """In units of its own size their moment looks like any other, and to whiten by it would amplify noise.

    Codes that differ by more vary with the pre-activations, in proportion to the logistic's slope.
    """
    X = rng.standard_normal((40, 6)).astype(dtype)
    problem = one_layer(X, 3, "logistic")
    variables = variables_of(problem)
    flat = np.zeros(variables.layout.size)
    (W, _), (b, _) = variables.layout.views(flat)
    W[...] = spread * rng.standard_normal(W.shape)
    b[...] = [0.3, -0.2, 0.5]
    better, _ = whitened(problem, variables, variables.from_parameters(flat), problem.mean, SERIAL)
    of_inputs = np.einsum("ikjk->ij", curvature(better, 0, layer=1).reshape(3, 6, 3, 6))
    slopes = expit(b) * expit(-b)
    expected = np.eye(3) if is_constant else damped(np.cov((X @ W * slopes).T), dampings[0])
    np.testing.assert_allclose(per_mean_eigenvalue(of_inputs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [3, 6])
def test_wide_sides_and_dead_units_keep_their_variables(monkeypatch, width):
    monkeypatch.setattr("skae._variables.whitening._MAX_WIDTH", width - 1)
    problem = grid_problem("relu", depth=2)
    variables = variables_of(problem)
    theta = random_theta(variables)
    theta[: WIDTHS[0] * WIDTHS[1]] = 0  # all units of the first layer are at their kink
    better, moved = whitened(problem, variables, theta, problem.mean, SERIAL)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(parameters_of(better, moved), parameters_of(variables, theta), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("random_state", [0, 1])
def test_a_deep_net_ends_lower_than_in_plain_variables(random_state, monkeypatch, digits):
    """As many iterations, from the same start."""
    settings = {"hidden_layer_sizes": (30,), "activation": "tanh", "loss": "cross_entropy", "solver": "lbfgs"}
    deep = AutoencoderTransformer(8, max_iter=30, random_state=random_state, **settings)
    loss = deep.fit(digits).loss_
    monkeypatch.setattr("skae._solvers.search.whitened", lambda rows, variables, theta, *_: (variables, theta))
    assert loss < deep.fit(digits).loss_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_objective_is_that_of_the_fitted_parameters(digits, dtype):
    """What the search reports in its own variables is the objective of what it returns."""
    X = digits.astype(dtype)
    fitted = AutoencoderTransformer(10, loss="cross_entropy", alpha=0.01, max_iter=20, random_state=0).fit(X)
    decay = 0.005 * sum(np.sum(np.square(W, dtype=np.float64)) for W in fitted.coefs_)
    expected = -fitted.score_samples(X).mean(dtype=np.float64) + decay
    np.testing.assert_allclose(fitted.loss_, expected, rtol=1e-9 if dtype == np.float64 else 1e-5)
