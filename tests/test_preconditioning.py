"""The change of variables that whitens the layers, and the short searches that it starts from."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder
from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.problem import make_problem as problem_of
from skae._rows.moments import column_means
from skae._rows.threads import RowThreads
from skae._solvers.lbfgs import LBFGS
from skae._solvers.warm_up import approach
from skae._training.history import History, Phase
from skae._variables.centring import centred_variables
from skae._variables.whitening import whitened
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, make_loss
from skae.penalties import WeightDecay

ONE = RowThreads(1)
WIDTHS = (6, 4, 5, 3)


def make_problem(activation="logistic", loss="squared_error", depth=1, tied=False, n_samples=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = (rng.uniform(size=(n_samples, 3)) @ rng.uniform(size=(3, WIDTHS[0])) / 3).astype(dtype)
    g = ACTIVATIONS[activation]
    architecture = Architecture((*WIDTHS[:depth], WIDTHS[-1]), g, g, make_loss(loss), tied)
    weights = np.ones(n_samples)
    return problem_of(architecture, (WeightDecay(0.1),), X, [X], weights, column_means([X], weights, ONE), ONE)


def variables_of(problem):
    return centred_variables(Layout(problem.architecture), problem.architecture, 0.6, 0.7)


def random_theta(variables, seed=1):
    return 0.7 * np.random.default_rng(seed).standard_normal(variables.layout.size)


def parameters_of(variables, theta):
    flat = np.empty_like(theta)
    variables.to_parameters(theta, out=flat)
    return flat


grid = pytest.mark.parametrize(
    ("activation", "loss", "depth", "tied"),
    [(g, loss, depth, tied) for g in ACTIVATIONS for loss in LOSSES for depth in (1, 3) for tied in (False, True)],
)


@grid
def test_the_parameters_stay_the_same(activation, loss, depth, tied):
    problem = make_problem(activation, loss, depth, tied)
    variables = variables_of(problem)
    theta = random_theta(variables)
    better, moved = whitened(problem, variables, theta, problem.mean, ONE)
    assert np.abs(moved - theta).max() > 0.1
    np.testing.assert_allclose(parameters_of(better, moved), parameters_of(variables, theta), rtol=1e-9, atol=1e-11)
    other = random_theta(variables, seed=2)
    there_and_back = better.from_parameters(parameters_of(better, other))
    np.testing.assert_allclose(there_and_back, other, rtol=1e-9, atol=1e-11)


@grid
def test_gradients_are_pulled_back_by_the_transpose(activation, loss, depth, tied):
    problem = make_problem(activation, loss, depth, tied)
    better, theta = whitened(problem, variables_of(problem), random_theta(variables_of(problem)), problem.mean, ONE)
    rng = np.random.default_rng(3)
    step, gradient = rng.standard_normal((2, better.layout.size))
    moved = parameters_of(better, theta + step) - parameters_of(better, theta)
    expected = gradient @ moved
    better.pull_back(gradient)
    np.testing.assert_allclose(gradient @ step, expected, rtol=1e-9)


@pytest.mark.parametrize("tied", [False, True])
def test_objective_and_its_gradient_in_whitened_variables(tied):
    problem = make_problem("tanh", "cross_entropy", depth=3, tied=tied)
    plain = variables_of(problem)
    theta = random_theta(plain)
    better, moved = whitened(problem, plain, theta, problem.mean, ONE)
    before, after = (Objective(problem, v, offset=problem.mean) for v in (plain, better))
    np.testing.assert_allclose(after(moved)[0], before(theta)[0], rtol=1e-12)
    direction = np.random.default_rng(2).standard_normal(len(moved))
    numeric = (after(moved + 1e-6 * direction)[0] - after(moved - 1e-6 * direction)[0]) / 2e-6
    np.testing.assert_allclose(after(moved)[1] @ direction, numeric, rtol=1e-6, atol=1e-8)


def test_least_squares_has_the_same_curvature_in_all_directions(monkeypatch):
    """A linear layer's Hessian under squared error is the covariance of its inputs: whitened, the unit matrix."""
    monkeypatch.setattr("skae._variables.whitening._INPUT_DAMPING", 1e-9)
    monkeypatch.setattr("skae._variables.whitening._GRADIENT_DAMPING", 1e9)
    problem = replace(make_problem("identity", depth=1), penalties=())
    better, theta = whitened(problem, variables_of(problem), random_theta(variables_of(problem)), problem.mean, ONE)
    objective = Objective(problem, better, offset=problem.mean)
    n_encoder = WIDTHS[0] * WIDTHS[-1]
    decoder = np.arange(n_encoder, 2 * n_encoder)
    steps = np.eye(len(theta))[decoder]
    hessian = np.array([objective(theta + step)[1] - objective(theta - step)[1] for step in steps])[:, decoder] / 2
    np.testing.assert_allclose(hessian, hessian[0, 0] * np.eye(n_encoder), atol=1e-6 * hessian[0, 0])


@pytest.mark.parametrize("width", [3, 6])
def test_wide_sides_and_dead_units_keep_their_variables(monkeypatch, width):
    monkeypatch.setattr("skae._variables.whitening._MAX_WIDTH", width - 1)
    problem = make_problem("relu", depth=2)
    variables = variables_of(problem)
    theta = random_theta(variables)
    theta[: WIDTHS[0] * WIDTHS[1]] = 0  # all units of the first layer are at their kink
    better, moved = whitened(problem, variables, theta, problem.mean, ONE)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(parameters_of(better, moved), parameters_of(variables, theta), rtol=1e-9, atol=1e-12)


def searched(problem, max_iter, max_fun=1000, watchers=()):
    """The rows of each of the approach's searches, where it ends, and the history."""
    seen = []

    def make_phase(part, variables):
        seen.append(part.X)
        objective = Objective(part, variables, offset=problem.mean)
        return Phase(objective, None, len(part.X), is_whole=False)

    variables = variables_of(problem)
    search = LBFGS(max_iter, max_fun, tol=0, n_iter_no_change=10, maxcor=10, precision=0)
    history = History("lbfgs", len(problem.X), watchers)
    options = {"offset": problem.mean, "threads": ONE, "rng": np.random.default_rng(0)}
    _, theta, stopped = approach(search, history, problem, variables, random_theta(variables), make_phase, **options)
    assert stopped == bool(watchers)
    return seen, theta, history


def test_searches_go_through_all_rows(monkeypatch):
    monkeypatch.setattr("skae._solvers.warm_up._MIN_ROWS", 5)
    problem = make_problem(n_samples=40)
    seen, theta, history = searched(problem, max_iter=240)
    assert len(seen) == 4
    rows = np.concatenate(seen)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], problem.X[np.lexsort(problem.X.T)])
    np.testing.assert_array_equal(searched(problem, max_iter=240)[1], theta)
    assert history.n_iterations == 60
    assert history.loss_curve == []


def test_the_parts_are_drawn_at_random(monkeypatch):
    """Rows often come sorted, and a part of one class would say nothing of the others."""
    monkeypatch.setattr("skae._solvers.warm_up._MIN_ROWS", 5)
    problem = make_problem(n_samples=40)
    for rows in searched(problem, max_iter=240)[0]:
        index = np.array([int(np.flatnonzero((row == problem.X).all(axis=1))[0]) for row in rows])
        assert np.ptp(index) > 20


@pytest.mark.parametrize("max_fun", [4, 10, 40, 100])
def test_evaluations_of_parts_count_by_their_share(monkeypatch, max_fun):
    """They take a quarter of max_fun at the most, but for the line search that is under way, of 20 evaluations."""
    monkeypatch.setattr("skae._solvers.warm_up._MIN_ROWS", 5)
    problem, calls = make_problem(n_samples=40), []
    evaluate = Objective.__call__
    monkeypatch.setattr(Objective, "__call__", lambda self, theta: calls.append(1) or evaluate(self, theta))
    _, _, history = searched(problem, max_iter=1000, max_fun=max_fun)
    assert history.n_rows_evaluated == 10 * len(calls)
    assert history.n_evaluations == -(-len(calls) // 4)
    assert len(calls) <= max_fun + 20


def test_a_request_to_stop_ends_the_searches(monkeypatch):
    monkeypatch.setattr("skae._solvers.warm_up._MIN_ROWS", 5)
    seen, _, history = searched(make_problem(n_samples=40), 240, watchers=[lambda iterate: iterate.number == 18])
    assert len(seen) == 2
    assert history.n_iterations == 18


@pytest.mark.parametrize(("max_iter", "n_searches"), [(1, 0), (59, 0), (60, 1), (239, 3), (1000, 4)])
def test_searches_take_at_most_a_quarter_of_the_iterations(monkeypatch, max_iter, n_searches):
    monkeypatch.setattr("skae._solvers.warm_up._MIN_ROWS", 5)
    assert len(searched(make_problem(n_samples=40), max_iter)[0]) == n_searches


def test_few_rows_are_searched_as_a_whole():
    assert searched(make_problem(n_samples=40), max_iter=200)[0] == []


def test_a_subset_is_the_problem_on_some_rows():
    problem = make_problem()
    part = problem.subset(np.array([3, 5]), ONE)
    np.testing.assert_array_equal(part.X, problem.X[[3, 5]])
    assert part.draws[0] is part.X
    noisy = replace(problem, draws=[problem.X + 1, problem.X + 2])
    part = noisy.subset(np.array([3, 5]), ONE)
    assert part.is_corrupted
    np.testing.assert_array_equal(part.draws[1], noisy.draws[1][[3, 5]])
    np.testing.assert_array_equal(part.X, problem.X[[3, 5]])


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: AutoencoderTransformer(20, loss="cross_entropy", **options),
        lambda **options: AutoencoderTransformer(20, loss="cross_entropy", tied_weights=True, **options),
        lambda **options: AutoencoderTransformer(8, hidden_layer_sizes=(30,), loss="cross_entropy", **options),
        lambda **options: ContractiveAutoencoder(20, tied_weights=True, **options),
        lambda **options: DenoisingAutoencoder(20, loss="cross_entropy", n_corruptions=2, **options),
    ],
    ids=["cross-entropy", "tied", "deep", "contractive", "denoising"],
)
def test_it_ends_lower_than_plain_variables_do(monkeypatch, digits, make):
    """As many iterations over all rows; what the approach costs besides is for the benchmarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setattr("skae._solvers.warm_up._MAX_SHARE", 1.0)
        better = make(max_iter=90, random_state=0).fit(digits)
        assert better.n_iter_ == 30
        monkeypatch.setattr("skae._training.run.approach", lambda *parts, **_: (*parts[3:5], False))
        monkeypatch.setattr("skae._training.run.whitened", lambda rows, variables, theta, *_: (variables, theta))
        plain = make(max_iter=30, random_state=0).fit(digits).loss_
    assert better.loss_ < plain


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_objective_is_that_of_the_fitted_parameters(digits, dtype):
    """What the search reports in its own variables is the objective of what it returns."""
    X = digits.astype(dtype)
    fitted = AutoencoderTransformer(10, loss="cross_entropy", alpha=0.01, max_iter=20, random_state=0).fit(X)
    decay = 0.005 * sum(np.sum(np.square(W, dtype=np.float64)) for W in fitted.coefs_)
    expected = -fitted.score_samples(X).mean(dtype=np.float64) + decay
    np.testing.assert_allclose(fitted.loss_, expected, rtol=1e-9 if dtype == np.float64 else 1e-5)
