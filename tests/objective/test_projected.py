"""The objective without its last layer: against the joint one, finite differences, and least squares."""

from functools import partial
from itertools import product
from typing import ClassVar

import numpy as np
import problems
import pytest
from problems import (
    assert_block_size_does_not_matter,
    assert_the_value_alone_is_the_same,
    assert_threads_do_not_matter,
    parameters_at,
    random_theta,
)

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.noise import Noise
from skae._objective.problem import make_problem as problem_of
from skae._objective.projected import ProjectedObjective, ridge
from skae._rows.blocks import rows_of
from skae._rows.statistics import column_means
from skae._rows.threads import SERIAL
from skae._solvers.search import ProjectedSearch
from skae._variables.centring import CentredVariables, centred_variables
from skae.activations import ACTIVATIONS
from skae.corruption import Gaussian, Masking
from skae.losses import LOSSES, ColumnLosses, make_loss
from skae.penalties import PENALTIES, Contraction, KLSparsity, Penalty, WeightDecay

N_SAMPLES, WIDTHS = 9, (6, 4, 5, 3)
EVEN, UNEVEN = np.ones(N_SAMPLES), np.linspace(0.5, 2, N_SAMPLES)
EVERY_PENALTY = (WeightDecay(0.1), *(PENALTIES[name](0.2) for name in PENALTIES))
PENALTY_SETS = {"none": (), "all": EVERY_PENALTY, **{name: (PENALTIES[name](0.3),) for name in PENALTIES}}
GRID = list(product(PENALTY_SETS.values(), (None, Masking(0.3)), (EVEN, UNEVEN), (None, 3)))
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("depth", [1, 2, 3])
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make_architecture(activation="tanh", depth=1, widths=None, loss="squared_error", link="auto", tied=False):
    g = ACTIVATIONS[activation]
    return Architecture(widths or (*WIDTHS[:depth], WIDTHS[-1]), g, g, make_loss(loss, link), tied)


def make_rows(dtype=np.float64):
    return np.random.default_rng(0).uniform(size=(N_SAMPLES, WIDTHS[0])).astype(dtype)


def make_problem(architecture, penalties=(), X=None, corruption=None, weights=None):
    """With two draws if the inputs are corrupted, and without the penalties that the code does not allow."""
    bounded = np.isfinite(architecture.code.bounds).all()
    penalties = tuple(penalty for penalty in penalties if bounded or not isinstance(penalty, KLSparsity))
    return problems.make_problem(architecture, make_rows() if X is None else X, penalties, corruption, weights)


def project(problem, **options):
    variables = centred_variables(Layout(problem.architecture, -1), problem.architecture, 0.6, 0.7)
    offset = column_means(problem.inputs, problem.weights, SERIAL)
    return ProjectedObjective(problem, variables, offset=offset, **options)


def join(problem):
    """The objective of all layers, whose variables are the parameters themselves."""
    layout = Layout(problem.architecture)
    variables = CentredVariables(layout, *([part] * layout.n_layers for part in (1.0, 1.0, None)))
    offset = column_means(problem.inputs, problem.weights, SERIAL)
    return Objective(problem, variables, offset=offset)


def flatten(weights, intercepts):
    return np.concatenate([part.ravel() for part in (*weights, *intercepts)])


def joint_theta(joint, weights, intercepts):
    """The variables of an objective of all layers whose last raw output is about an origin."""
    *others, last = intercepts
    return flatten(weights, [*others, last - joint._problem.raw_origin])


def theta_of(objective, weights, intercepts):
    """The variables of the given layers."""
    return objective._variables.from_parameters(flatten(weights, intercepts))


def code_of(W, b=None, X=None, activation="identity", penalties=(), weights=None):
    """An objective whose one encoder layer is given, and its theta."""
    architecture = make_architecture(activation, widths=W.shape)
    objective = project(make_problem(architecture, penalties, X, weights=weights))
    return objective, theta_of(objective, [W], [np.zeros(W.shape[1]) if b is None else b])


def slope(objective, theta, direction, step=1e-6):
    return (objective(theta + step * direction)[0] - objective(theta - step * direction)[0]) / (2 * step)


def least_squares_value(H, X, weights=None):
    """The mean squared error, halved, of X given codes H and an intercept, by the rows themselves."""
    shares = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()
    A, Y = (np.sqrt(shares)[:, None] * part for part in (np.column_stack([H, np.ones(len(H))]), X))
    return 0.5 * np.sum((Y - A @ np.linalg.lstsq(A, Y, rcond=None)[0]) ** 2)


# Against finite differences and against the joint objective.


def grid_of(activation, depth):
    architecture = make_architecture(activation, depth)
    for penalties, corruption, weights, block_size in GRID:
        yield project(make_problem(architecture, penalties, None, corruption, weights), block_size=block_size)


@every_depth
@every_activation
def test_gradient_over_the_whole_grid(activation, depth):
    """Along a random direction, in which a wrong entry shows."""
    for objective in grid_of(activation, depth):
        theta = random_theta(objective)
        direction = np.random.default_rng(2).standard_normal(len(theta))
        expected = slope(objective, theta, direction)
        np.testing.assert_allclose(objective(theta)[1] @ direction, expected, rtol=2e-6, atol=2e-7)


@every_depth
@every_activation
def test_it_is_the_joint_objective_at_its_minimum_over_the_last_layer(activation, depth):
    """Which is convex in that layer: where its gradient is zero, it is least."""
    architecture = make_architecture(activation, depth)
    for penalties, corruption, weights, block_size in GRID:
        problem = make_problem(architecture, penalties, None, corruption, weights)
        objective, joint = project(problem, block_size=block_size), join(problem)
        theta = random_theta(objective)
        value, gradient, *_ = objective(theta)
        parameters = parameters_at(objective, theta)
        joint_value, joint_gradient, *_ = joint(joint_theta(joint, *parameters))
        np.testing.assert_allclose(value, joint_value, rtol=1e-11)
        *weight_gradients, last_W = Layout(architecture).views(joint_gradient)[0]
        *intercept_gradients, last_b = Layout(architecture).views(joint_gradient)[1]
        np.testing.assert_allclose(last_W, 0, atol=1e-11)
        np.testing.assert_allclose(last_b, 0, atol=1e-11)
        expected = flatten(weight_gradients, intercept_gradients)
        objective._variables.pull_back(expected, SERIAL)
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)


@every_depth
def test_the_other_layers_of_its_parameters_are_those_of_theta(depth):
    objective = project(make_problem(make_architecture("softplus", depth)))
    theta, expected = random_theta(objective), np.empty(objective.size)
    objective._variables.to_parameters(theta, expected, SERIAL)
    weights, intercepts = parameters_at(objective, theta)
    np.testing.assert_allclose(flatten(weights[:-1], intercepts[:-1]), expected, rtol=1e-13)
    assert {part.dtype for part in (*weights, *intercepts)} == {np.dtype(np.float64)}


def test_every_registered_penalty_is_in_the_grid():
    assert {type(penalty) for penalty in EVERY_PENALTY} == set(PENALTIES.values())


@pytest.mark.parametrize("roundings", [2.0**10, 2.0**60], ids=["from the Gram matrix", "from the residuals"])
@pytest.mark.parametrize("shift", [0.0, 1e3], ids=["rows near zero", "rows far from it"])
@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_columns_have_weights(monkeypatch, alpha, shift, roundings):
    """Each column's value is that of a ridge regression of its own; the gradient is that of finite differences."""
    monkeypatch.setattr("skae._objective.projected._ROUNDINGS", roundings)
    weights, X, g = np.array([0.5, 3.0, 3.0, 0.5, 3.0, 0.5]), make_rows(), ACTIVATIONS["tanh"]
    loss = ColumnLosses([("squared_error", [0, 3, 5], 0.5), ("squared_error", [1, 2, 4], 3.0)])
    loss = loss.resolved(X).balanced(lambda: np.ones(6))
    objective = project(make_problem(Architecture((6, 3), g, g, loss, False), (WeightDecay(alpha),), X + shift))
    theta = random_theta(objective)
    (W, _), (b, _) = parameters_at(objective, theta)
    H = np.tanh((X + shift - objective._offset) @ W + b)
    D, Y = H - H.mean(axis=0), X - X.mean(axis=0)
    expected = alpha / 2 * np.sum(W**2)
    for column, weight in enumerate(weights):
        A = np.vstack([D * np.sqrt(weight / N_SAMPLES), np.sqrt(alpha) * np.eye(3)])
        y = np.append(Y[:, column] * np.sqrt(weight / N_SAMPLES), np.zeros(3))
        expected += 0.5 * np.sum((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2)
    np.testing.assert_allclose(objective(theta).value, expected, rtol=1e-9)
    assert objective._from_residuals == (roundings > 2**10)
    direction = np.random.default_rng(2).standard_normal(len(theta))
    np.testing.assert_allclose(
        objective(theta).gradient @ direction, slope(objective, theta, direction), rtol=2e-6, atol=2e-7
    )


def test_value_is_that_of_least_squares():
    """Of the codes, computed here, at alpha = 0; a second draw is a second set of rows."""
    X = make_rows()
    problem = make_problem(make_architecture("softplus"), X=X, corruption=Gaussian(0.2))
    objective = project(problem)
    theta = random_theta(objective)
    (W, _), (b, _) = parameters_at(objective, theta)
    rows = np.vstack([draw.X for draw in problem.inputs])
    H = np.log1p(np.exp((rows - rows.mean(axis=0)) @ W + b))
    np.testing.assert_allclose(objective(theta)[0], least_squares_value(H, np.vstack([X, X])), rtol=1e-12)


def test_value_is_that_of_ridge_regression():
    """With two weight decays, of which the encoder's part is a constant here."""
    X, rng = make_rows(), np.random.default_rng(1)
    W, b = rng.standard_normal((6, 3)), rng.standard_normal(3)
    objective, theta = code_of(W, b, X, "tanh", penalties=(WeightDecay(0.1), WeightDecay(0.05)))
    centred = X - X.mean(axis=0)
    H = np.tanh(centred @ W + b)
    H -= H.mean(axis=0)
    V = np.linalg.solve(H.T @ H / N_SAMPLES + 0.15 * np.eye(3), H.T @ centred / N_SAMPLES)
    expected = 0.5 * np.sum((H @ V - centred) ** 2) / N_SAMPLES + 0.15 / 2 * (np.sum(W**2) + np.sum(V**2))
    np.testing.assert_allclose(objective(theta)[0], expected, rtol=1e-12)
    np.testing.assert_allclose(parameters_at(objective, theta)[0][1], V, rtol=1e-10)


# What must not matter.


@pytest.mark.parametrize("depth", [1, 3])
@every_dtype
def test_block_size_does_not_matter(depth, dtype):
    problem = make_problem(make_architecture("tanh", depth), EVERY_PENALTY, make_rows(dtype), Masking(0.3), UNEVEN)
    assert_block_size_does_not_matter(partial(project, problem), (None, 1, 2, 3, 9), dtype)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_matter(monkeypatch, depth, n_threads):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    problem = make_problem(make_architecture("tanh", depth), EVERY_PENALTY, None, Masking(0.3), UNEVEN)
    assert_threads_do_not_matter(partial(project, problem), n_threads)


@every_depth
def test_integer_weights_repeat_rows(depth):
    architecture, counts = make_architecture("logistic", depth), np.array([1, 3, 2, 1, 2, 1, 1, 4, 1])
    weighted = project(make_problem(architecture, EVERY_PENALTY, weights=counts.astype(float)))
    repeated = project(make_problem(architecture, EVERY_PENALTY, np.repeat(make_rows(), counts, axis=0)))
    theta = random_theta(weighted)
    (value, gradient, *_), (expected_value, expected_gradient, *_) = weighted(theta), repeated(theta)
    np.testing.assert_allclose(value, expected_value, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("corruption", [None, Gaussian(0.1)], ids=["clean", "gaussian"])
@every_depth
def test_an_evaluation_leaves_its_inputs_unchanged(depth, corruption):
    problem = make_problem(make_architecture("tanh", depth), EVERY_PENALTY, None, corruption, UNEVEN)
    objective = project(problem)
    theta = random_theta(objective)
    rows = [draw.X for draw in (problem.targets, *problem.inputs)]
    arrays = [theta, *rows, problem.weights[:], problem.mean, objective._offset]
    copies = [array.copy() for array in arrays]
    first = objective(theta)
    objective(random_theta(objective, seed=5))
    parameters_at(objective, random_theta(objective, seed=6))
    again = objective(theta)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])


# Digits.


@every_depth
@every_activation
def test_float32_agrees_with_float64(activation, depth):
    architecture = make_architecture(activation, depth)
    X = make_rows(np.float32)
    single, double = (
        project(make_problem(architecture, EVERY_PENALTY, X.astype(dtype))) for dtype in (np.float32, np.float64)
    )
    theta = random_theta(double)
    (value, gradient, *_), (value_32, gradient_32, *_) = double(theta), single(theta)
    assert isinstance(value_32, float)
    assert gradient_32.dtype == np.float64
    np.testing.assert_allclose(value_32, value, rtol=1e-5)
    np.testing.assert_allclose(gradient_32, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("corruption", [None, Gaussian(0.1)], ids=["clean", "gaussian"])
def test_a_large_mean_costs_no_digits_in_float32(corruption):
    """It is the joint objective, in float64, about the same rounded mean."""
    X, architecture = (make_rows() + 1e4).astype(np.float32), make_architecture("softplus")
    problem = make_problem(architecture, X=X, corruption=corruption)
    objective = project(problem)
    theta = random_theta(objective)
    value, gradient, *_ = objective(theta)
    draws = [rows_of(draw.X.astype(float)) for draw in problem.inputs]
    weights, statistics = problem.weights, problem.target_statistics
    rows = rows_of(X.astype(float))
    joint = join(problem_of(architecture, (), rows, weights, statistics, SERIAL, corruption and Noise(draws)))
    weights, intercepts = parameters_at(objective, theta)
    intercepts[0] += (joint._offset - objective._rounded_offset) @ weights[0]
    joint_value, joint_gradient, *_ = joint(joint_theta(joint, weights, intercepts))
    (dW, last_dW), (db, _) = Layout(architecture).views(joint_gradient)
    expected = flatten([dW], [db])
    objective._variables.pull_back(expected, SERIAL)
    np.testing.assert_allclose(value, joint_value, rtol=5e-6)
    np.testing.assert_allclose(last_dW, 0, atol=5e-6)
    # In float32 the offset is rounded by up to 5e-4, which the gradient of W feels through that of b.
    np.testing.assert_allclose(gradient, expected, atol=1e-3 * np.abs(expected).max())


@every_dtype
def test_a_code_that_hardly_varies(dtype):
    """It is as good as one that does, at alpha = 0: the decoder makes up for it."""
    W = 1e-3 * np.random.default_rng(1).standard_normal((6, 3))
    objective, theta = code_of(W, X=make_rows(dtype), activation="tanh")
    X = make_rows(dtype).astype(float)
    expected = least_squares_value(np.tanh((X - X.mean(axis=0)) @ W), X)
    np.testing.assert_allclose(objective(theta)[0], expected, rtol=1e-3 if dtype == np.float32 else 1e-9)


def nearly_linear(noise, dtype, n_components=4):
    """Rows within `noise` of four dimensions, which a linear code of four reconstructs but for a part of the noise."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 12)) + noise * rng.standard_normal((60, 12))
    W = rng.standard_normal((12, n_components)).astype(dtype).astype(float)
    return X.astype(dtype), W


NOISES = [(np.float64, 10.0**-digits) for digits in range(1, 11)] + [
    (np.float32, 10.0**-digits) for digits in range(1, 5)
]
WEIGHTS_OF_60 = np.linspace(0.2, 2, 60)


def split(W):
    """Pairs of relu units whose difference is a linear unit; their means are not zero."""
    return np.hstack([W, -W])


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize(("dtype", "noise"), NOISES)
def test_the_value_of_a_near_perfect_fit_keeps_its_digits(dtype, noise, activation):
    """The total variance less what is explained would have none."""
    X, W = nearly_linear(noise, dtype)
    W = split(W) if activation == "relu" else W
    objective, theta = code_of(W, X=X, activation=activation, weights=WEIGHTS_OF_60)
    exact = X.astype(float)
    H = ACTIVATIONS[activation].forward((exact - np.average(exact, axis=0, weights=WEIGHTS_OF_60)) @ W)
    np.testing.assert_allclose(objective(theta)[0], least_squares_value(H, exact, WEIGHTS_OF_60), rtol=5e-3)


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("n_components", [4, 5])
@pytest.mark.parametrize(("dtype", "noise"), NOISES)
def test_a_near_perfect_fit_is_the_joint_objective_at_its_parameters(dtype, noise, n_components, activation):
    """Of five linear units the fifth varies no more than the noise, and the last layer is hardly determined."""
    X, W = nearly_linear(noise, dtype, n_components)
    W = split(W) if activation == "relu" else W
    objective, theta = code_of(W, X=X, activation=activation, weights=WEIGHTS_OF_60)
    value, gradient, *_ = objective(theta)
    joint = join(make_problem(objective._architecture, X=X.astype(float), weights=WEIGHTS_OF_60))
    joint_value, joint_gradient, *_ = joint(joint_theta(joint, *parameters_at(objective, theta)))
    np.testing.assert_allclose(value, joint_value, rtol=5e-3)
    (dW, _), (db, _) = Layout(joint._architecture).views(joint_gradient)
    expected = flatten([dW], [db])
    objective._variables.pull_back(expected, SERIAL)
    if noise**2 > 100 * np.finfo(dtype).eps:
        np.testing.assert_allclose(gradient, expected, atol=0.02 * np.abs(expected).max())


@every_dtype
@pytest.mark.parametrize("n_components", [6, 10])
def test_a_perfect_fit(dtype, n_components):
    """Of a linear code as wide as X, or wider, the residuals are rounding errors."""
    W = np.random.default_rng(1).standard_normal((6, n_components))
    objective, theta = code_of(W, X=make_rows(dtype))
    value, gradient, *_ = objective(theta)
    rounding = 1e3 * np.finfo(dtype).eps
    assert 0 <= value < rounding**2
    assert np.abs(gradient).max() < rounding


@pytest.mark.parametrize(("dtype", "decay"), [(np.float32, 1e-5), (np.float64, 1e-9)])
@pytest.mark.parametrize("n_components", [6, 10])
def test_a_near_perfect_fit_with_weight_decay(dtype, decay, n_components):
    """All of the objective is decay and what it leaves unexplained: least squares with rows for the decay."""
    X = make_rows(dtype).astype(float)
    W = np.random.default_rng(1).standard_normal((6, n_components)).astype(dtype).astype(float)
    objective, theta = code_of(W, X=make_rows(dtype), penalties=(WeightDecay(decay),))
    D, Y = (part - part.mean(axis=0) for part in (X @ W, X))
    A = np.vstack([D / np.sqrt(N_SAMPLES), np.sqrt(decay) * np.eye(n_components)])
    Y = np.vstack([Y / np.sqrt(N_SAMPLES), np.zeros((n_components, 6))])
    V = np.linalg.lstsq(A, Y, rcond=None)[0]
    expected = 0.5 * (np.sum((A @ V - Y) ** 2) + decay * np.sum(W**2))
    np.testing.assert_allclose(objective(theta)[0], expected, rtol=1e-3 if dtype == np.float32 else 1e-7)


@every_dtype
def test_the_two_ways_to_the_value_meet(dtype):
    """As the noise grows the value passes from one to the other, without a step."""
    ways = set()
    for noise in np.sqrt(2**10 * np.finfo(dtype).eps) * np.geomspace(0.1, 10, 20):
        X, W = nearly_linear(noise, dtype)
        objective, theta = code_of(W, X=X)
        exact = X.astype(float)
        np.testing.assert_allclose(objective(theta)[0], least_squares_value(exact @ W, exact), rtol=0.02)
        ways.add(bool(objective._from_residuals))
    assert ways == {True, False}


# Codes that do not determine the last layer.


def singular_code(kind):
    """Weights and intercepts of tanh or relu units, the activation, and a direction that leaves the code's rank."""
    rng = np.random.default_rng(4)
    W, b, dW, db = rng.standard_normal((6, 4)), np.zeros(4), rng.standard_normal((6, 4)), rng.standard_normal(4)
    if kind == "dead":
        b[1], dW[:, 1], db[1] = -1e3, 0, 0
        return W, b, dW, db, "relu"
    if kind == "constant":
        W[:, 1] = dW[:, 1] = 0
    if kind == "duplicate":
        W[:, 1], dW[:, 1], db[1] = W[:, 2], dW[:, 2], db[2]
    if kind == "opposite":
        W[:, 1], dW[:, 1], db[1] = -W[:, 2], -dW[:, 2], -db[2]
    if kind == "all constant":
        W[...] = dW[...] = 0
    return W, b, dW, db, "tanh"


every_singularity = pytest.mark.parametrize("kind", ["dead", "constant", "duplicate", "opposite", "all constant"])


@every_singularity
@every_dtype
def test_value_of_a_singular_code(kind, dtype):
    """That of the other units alone."""
    X = make_rows(dtype)
    W, b, _, _, activation = singular_code(kind)
    objective, theta = code_of(W, b, X, activation)
    exact = X.astype(float)
    Z = (exact - exact.mean(axis=0)) @ W + b
    H = np.maximum(Z, 0) if activation == "relu" else np.tanh(Z)
    expected = least_squares_value(H[:, [0, 2, 3]], exact)
    np.testing.assert_allclose(objective(theta)[0], expected, rtol=1e-4 if dtype == np.float32 else 1e-10)


@every_singularity
def test_gradient_of_a_singular_code(kind):
    """Along a direction that leaves the code's rank as it is; and against it the value falls."""
    W, b, dW, db, activation = singular_code(kind)
    objective, theta = code_of(W, b, activation=activation)
    value, gradient, *_ = objective(theta)
    direction = theta_of(objective, [dW], [db])
    np.testing.assert_allclose(gradient @ direction, slope(objective, theta, direction), rtol=1e-6, atol=1e-8)
    if kind != "all constant":
        assert objective(theta - 1e-3 * gradient)[0] < value


@every_singularity
def test_gradient_of_a_singular_code_is_the_joint_one(kind):
    W, b, _, _, activation = singular_code(kind)
    objective, theta = code_of(W, b, activation=activation)
    joint = join(objective._problem)
    weight_gradients, intercept_gradients = Layout(joint._architecture).views(
        joint(joint_theta(joint, *parameters_at(objective, theta)))[1]
    )
    expected = flatten(weight_gradients[:1], intercept_gradients[:1])
    objective._variables.pull_back(expected, SERIAL)
    np.testing.assert_allclose(objective(theta)[1], expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(weight_gradients[1], 0, atol=1e-11)


@pytest.mark.parametrize("distance", 10.0 ** -np.arange(1, 16))
@every_dtype
def test_units_that_are_almost_the_same(dtype, distance):
    """The value is that of the last layer that goes with it, and no less than least squares can reach."""
    X = np.random.default_rng(0).uniform(size=(500, 6)).astype(dtype)
    W, b, _, _, _ = singular_code("duplicate")
    W[:, 1] += distance * np.arange(6)
    objective, theta = code_of(W, b, X, "tanh")
    value, gradient, *_ = objective(theta)
    exact = X.astype(float)
    H = np.tanh((exact - exact.mean(axis=0)) @ W)
    low, high = least_squares_value(H, exact), least_squares_value(H[:, [0, 2, 3]], exact)
    assert 0.99 * low <= value <= 1.01 * high
    joint = join(make_problem(objective._architecture, X=exact))
    np.testing.assert_allclose(value, joint(joint_theta(joint, *parameters_at(objective, theta)))[0], rtol=0.01)
    assert np.isfinite(gradient).all()


@every_dtype
def test_rows_that_are_all_the_same(dtype):
    X = np.full((5, 6), 0.1, dtype)
    objective, theta = code_of(np.ones((6, 3)), X=X, activation="tanh")
    value, gradient, *_ = objective(theta)
    assert value == pytest.approx(0, abs=1e-30 if dtype == np.float64 else 1e-14)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


@every_activation
@every_depth
@every_dtype
def test_overflow_is_a_value_that_is_not_finite(activation, depth, dtype):
    """From which the solver steps back; it is no error."""
    objective = project(make_problem(make_architecture(activation, depth), X=make_rows(dtype)))
    value, *_ = objective(np.finfo(dtype).max ** 0.75 * random_theta(objective))
    bounded = np.isfinite(ACTIVATIONS[activation].bounds).all()
    assert isinstance(value, float)
    assert np.isfinite(value) if bounded else not value < 0


# The ridge regression.


def columns(rank=4, n_columns=4, scales=1.0):
    rng = np.random.default_rng(5)
    D = rng.standard_normal((30, rank)) @ rng.standard_normal((rank, n_columns)) * scales
    return D, rng.standard_normal((30, 2))


def regression(D, Y, decay):
    return ridge(D.T @ D, D.T @ Y, decay, len(D) * np.finfo(np.float64).eps)[0]


@pytest.mark.parametrize("scales", [1.0, 10.0 ** np.array([-6, 6, 0, -2])], ids=["one unit", "many units"])
def test_ridge_without_decay_is_least_squares(scales):
    D, Y = columns(scales=scales)
    expected = np.linalg.lstsq(D / scales, Y, rcond=None)[0] / np.reshape(scales, (-1, 1))
    np.testing.assert_allclose(regression(D, Y, 0.0), expected, rtol=1e-9)


@pytest.mark.parametrize("decay", [1e-6, 0.1, 10.0])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_ridge_is_least_squares_with_rows_for_the_decay(rank, decay):
    D, Y = columns(rank)
    expected = np.linalg.lstsq(np.vstack([D, np.sqrt(decay) * np.eye(4)]), np.vstack([Y, np.zeros((4, 2))]))[0]
    np.testing.assert_allclose(regression(D, Y, decay), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("scales", [1.0, 10.0 ** np.array([-3, 3, 0, -1])], ids=["one unit", "many units"])
def test_ridge_of_a_singular_gram(rank, scales):
    """The fit of least squares, by the smallest weights in units of the columns' lengths."""
    D, Y = columns(rank, scales=scales)
    lengths = np.linalg.norm(D, axis=0)
    expected = np.linalg.lstsq(D / lengths, Y, rcond=1e-8)[0] / lengths[:, None]
    V = regression(D, Y, 0.0)
    np.testing.assert_allclose(V, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(D @ V, D @ expected, atol=1e-8)


def test_ridge_of_columns_that_are_zero_or_the_same():
    D, Y = columns()
    D[:, 1], D[:, 3] = 0, D[:, 2]
    V = regression(D, Y, 0.0)
    alone = np.linalg.lstsq(D[:, [0, 2]], Y)[0]
    np.testing.assert_allclose(V[1], 0, atol=1e-12)
    np.testing.assert_allclose(V[[2, 3]], [alone[1] / 2] * 2, rtol=1e-8)
    np.testing.assert_allclose(V[0], alone[0], rtol=1e-8)
    np.testing.assert_array_equal(regression(0 * D, Y, 0.0), 0)
    np.testing.assert_array_equal(regression(0 * D, Y, 0.1), 0)


def test_ridge_leaves_its_arguments_unchanged():
    D, Y = columns(rank=3)
    gram, cross = D.T @ D, D.T @ Y
    copies = gram.copy(), cross.copy()
    for decay in (0.0, 0.1):
        ridge(gram, cross, decay, 1e-16)[0]
    np.testing.assert_array_equal(gram, copies[0])
    np.testing.assert_array_equal(cross, copies[1])


# Where it applies.


class Orthogonality(Penalty):
    """A penalty on the weights that is no weight decay."""

    acts_on: ClassVar[str] = "weights"


REFUSED = [
    (make_architecture(tied=True), (), "tied_weights"),
    *((make_architecture(loss=loss), (), "loss") for loss in LOSSES if loss != "squared_error"),
    *((make_architecture(link=link), (), "output_activation") for link in ACTIVATIONS if link != "identity"),
    (make_architecture(), (WeightDecay(0.1), Orthogonality(0.1)), "penalties"),
]


@pytest.mark.parametrize(("architecture", "penalties", "parameter"), REFUSED)
def test_why_it_does_not_apply(architecture, penalties, parameter):
    assert parameter in ProjectedSearch().why_not(make_problem(architecture, penalties))


@every_depth
@every_activation
def test_it_applies_to_every_other_problem(activation, depth):
    for penalties, corruption in product(PENALTY_SETS.values(), (None, Masking(0.3))):
        problem = make_problem(make_architecture(activation, depth), penalties, None, corruption)
        assert ProjectedSearch().why_not(problem) is None


def test_a_contraction_of_rows_is_no_decay_of_the_last_layer():
    """Of all penalties of a linear autoencoder only weight decays act on the decoder."""
    W = np.random.default_rng(1).standard_normal((6, 3))
    plain, theta = code_of(W)
    contracted, _ = code_of(W, penalties=(Contraction(0.4),))
    np.testing.assert_array_equal(parameters_at(contracted, theta)[0][1], parameters_at(plain, theta)[0][1])
    np.testing.assert_allclose(contracted(theta)[0] - plain(theta)[0], 0.4 * np.sum(W**2), rtol=1e-10)


@every_depth
@every_activation
def test_the_value_alone(activation, depth):
    for objective in grid_of(activation, depth):
        assert_the_value_alone_is_the_same(objective, random_theta(objective))
