"""The stochastic search: what it reports, where it ends, and what it draws."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from skae._network.architecture import Architecture
from skae._objective.noise import PreparedCorruption, drawn
from skae._objective.problem import make_problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL, RowThreads
from skae._solvers.history import History
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status
from skae._solvers.search import JointSearch
from skae._solvers.solver import Context
from skae._solvers.stochastic import Adam, StochasticSearch, _Run
from skae.activations import ACTIVATIONS
from skae.corruption import Gaussian, Masking
from skae.losses import make_loss
from skae.penalties import KLSparsity, WeightDecay


@pytest.fixture(autouse=True)
def short_iterations(monkeypatch):
    """600 rows instead of 4,000, and few steps before a step size is chosen."""
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 600)
    monkeypatch.setattr("skae._solvers.stochastic._TRIAL_STEPS", 10)


def make_rows(n_rows=300):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(n_rows, 2)) @ rng.uniform(size=(2, 6)) + 0.05 * rng.uniform(size=(n_rows, 6))


MASKING, DECAY = Masking(0.25), WeightDecay(1e-3)


def noisy_problem(corruption=MASKING, X=None, weights=None, penalties=(DECAY,), tied=True):
    X = make_rows() if X is None else X
    rows, weights, g = rows_of(X), np.ones(len(X)) if weights is None else weights, ACTIVATIONS["logistic"]
    architecture = Architecture((X.shape[1], 3), g, g, make_loss("squared_error"), tied=tied)
    prepared = PreparedCorruption(corruption, X, weights)
    noise = drawn(prepared, rows, architecture.layer_widths, np.random.default_rng(0))
    statistics = statistics_of([rows], weights, SERIAL)
    return make_problem(architecture, tuple(penalties), rows, weights, statistics, SERIAL, noise)


@dataclass
class Run:
    """What a search returned, its history, and the iterates that its watcher saw."""

    result: object
    history: History
    iterates: list


def searched(problem, solver=None, *, seed=0, threads=SERIAL, stop_at=None, start=None, **limits):
    iterates = []

    def watch(iterate):
        iterates.append((iterate.objective, iterate.fall, iterate.parameters))
        return iterate.number == stop_at

    history = History("adam", len(problem.targets), [watch])
    caps = {"max_iter": 5, "max_fun": 10**6, "tol": 0, "n_iter_no_change": 10, "maxcor": 10, "precision": 0}
    context = Context(threads, history, LBFGS(**{**caps, **limits}), np.random.default_rng(seed), start)
    return Run((solver or StochasticSearch()).solve(problem, context), history, iterates)


def test_the_generator_decides():
    first, again, other = (searched(noisy_problem(), seed=seed).result.theta for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_decide(n_threads, monkeypatch):
    """But for the rounding of sums in another order, which the steps of Adam amplify a little."""
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    single = searched(noisy_problem(), max_iter=2)
    with ThreadPoolExecutor(n_threads) as executor:
        runs = [searched(noisy_problem(), max_iter=2, threads=RowThreads(n_threads, executor)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].result.theta, runs[1].result.theta)
    np.testing.assert_allclose(runs[0].result.theta, single.result.theta, rtol=1e-6, atol=1e-8)


def test_iterates_do_not_rise_and_the_last_is_the_result():
    run = searched(noisy_problem(), max_iter=12)
    objectives = [objective for objective, *_ in run.iterates]
    assert len(objectives) == run.history.n_iterations == 12
    assert run.history.loss_curve == objectives
    assert np.all(np.diff(objectives) <= 0)
    assert objectives[-1] < objectives[0]
    assert np.all(np.array([fall for _, fall, _ in run.iterates]) >= 0)
    assert run.result.status == Status.MAX_ITER
    problem = noisy_problem().with_draws(600)
    solver = _Run(problem, Context(SERIAL, run.history, None, np.random.default_rng(0)))
    at_end = solver._on_fixed(run.result.theta)
    np.testing.assert_allclose(at_end.terms.sum(), objectives[-1], rtol=1e-12)
    np.testing.assert_allclose(run.result.value, at_end.value, rtol=1e-12)
    parameters = solver._on_fixed.parameters(run.result.theta, at_end)
    np.testing.assert_array_equal(parameters.weights[0], run.iterates[-1][2].weights[0])


@pytest.mark.parametrize("max_iter", [1, 4])
def test_max_iter(max_iter):
    run = searched(noisy_problem(), max_iter=max_iter)
    assert (run.result.status, len(run.iterates)) == (Status.MAX_ITER, max_iter)


def test_max_fun_ends_after_the_iteration_that_reaches_it():
    """An iteration is of two evaluations: 600 rows of minibatches over 2 draws of 300 rows, and the fixed draws."""
    run = searched(noisy_problem(), max_fun=40, max_iter=1000)
    assert run.result.status == Status.MAX_FUN
    assert 40 <= run.history.n_evaluations <= 42
    assert run.result.n_evaluations == run.history.n_evaluations


def test_a_watcher_stops_it():
    run = searched(noisy_problem(), stop_at=3, max_iter=100)
    assert (run.result.status, len(run.iterates)) == (Status.CALLBACK, 3)


def test_it_converges():
    run = searched(noisy_problem(), tol=1e-2, max_iter=2000)
    assert run.result.status not in (Status.MAX_ITER, Status.MAX_FUN, Status.CALLBACK)
    assert run.result.fall < 1e-2


@pytest.mark.parametrize("tied", [False, True])
def test_it_comes_near_the_minimum_of_a_problem_with_hardly_any_noise(tied):
    problem = noisy_problem(Gaussian(1e-4), tied=tied, penalties=[WeightDecay(0.01)])
    stochastic = searched(problem, max_iter=1000, tol=1e-4)
    exact = searched(problem.with_draws(600), JointSearch(), max_iter=3000)
    unit = problem.loss_unit
    assert -1e-6 < (stochastic.result.value - exact.result.value) / unit < 0.02
    assert stochastic.iterates[0][0] > stochastic.iterates[-1][0]


def test_a_start_is_where_it_begins():
    """From the result of L-BFGS on the same draws, no iterate is worse."""
    problem = noisy_problem().with_draws(600)
    joint = searched(problem, JointSearch(), max_iter=500)
    run = searched(problem, start=joint.iterates[-1][2], max_iter=3)
    assert run.iterates[-1][0] <= joint.iterates[-1][0] * (1 + 1e-9)


# Minibatches.


def batches_of(problem, n_batches):
    run = _Run(problem.with_draws(600), Context(SERIAL, History("adam", 1, []), None, np.random.default_rng(0)))
    stream = run._batches(np.random.default_rng(1))
    return np.array([next(stream).copy() for _ in range(n_batches)])


def test_equal_weights_take_each_row_once_a_pass():
    rows = batches_of(noisy_problem(X=make_rows(250)), 10)
    assert rows.shape == (10, 100)
    for number in range(4):
        np.testing.assert_array_equal(np.sort(rows.ravel()[250 * number : 250 * (number + 1)]), np.arange(250))


def test_weights_are_the_frequencies_of_rows():
    """Of n draws, w_i n / sum w, within five standard deviations; as of rows repeated w_i times."""
    weights = np.arange(300) % 4 + 1.0
    rows, shares = batches_of(noisy_problem(weights=weights), 3000).ravel(), weights / weights.sum()
    deviations = np.bincount(rows, minlength=300) - len(rows) * shares
    np.testing.assert_array_less(np.abs(deviations), 5 * np.sqrt(len(rows) * shares))


def test_gradients_of_minibatches_are_on_average_that_of_the_problem():
    """With weights, and new noise in each: within five standard errors of the gradient on 100 fixed draws."""
    problem = noisy_problem(weights=np.arange(300) % 4 + 1.0)
    run = _Run(problem, Context(SERIAL, History("adam", 1, []), None, np.random.default_rng(0)))
    theta, rng, gradients = run._start, np.random.default_rng(3), []
    for rows in batches_of(problem, 1000):
        run._on_batch.go_on_with(problem.batch(rows, rng))
        gradients.append(run._on_batch(theta).gradient.copy())
    error = np.std(gradients, axis=0) / np.sqrt(1000) + np.std(gradients, axis=0) / np.sqrt(20_000 / 100)
    np.testing.assert_array_less(np.abs(np.mean(gradients, axis=0) - run._on_fixed(theta).gradient), 5 * error)


def test_noise_is_new_in_every_minibatch():
    problem, rng = noisy_problem(), np.random.default_rng(0)
    first, second = (problem.batch(np.arange(100), rng).inputs[0].dense(slice(None)) for _ in range(2))
    assert np.mean(first != second) > 0.1


def test_sparsity_sees_a_running_mean_of_the_code():
    """m <- 0.99 m + 0.01 of each minibatch, from the first one on; the fixed draws have their own."""
    penalty, expected, rng = KLSparsity(0.3), None, np.random.default_rng(3)
    problem = noisy_problem(penalties=[penalty])
    run = _Run(problem.with_draws(600), Context(SERIAL, History("adam", 1, []), None, np.random.default_rng(0)))
    objective, theta = run._on_batch, run._start
    assert (objective.mean_code_memory, run._on_fixed.mean_code_memory) == (0.99, 0.0)
    for rows in batches_of(problem, 4):
        batch = problem.batch(rows, rng)
        objective.go_on_with(batch)
        evaluation = objective(theta)
        parameters = objective.parameters(theta, evaluation)
        W, b, inputs = parameters.weights[0], parameters.intercepts[0], batch.inputs[0].dense(slice(None))
        code = 1 / (1 + np.exp(-(inputs - parameters.offset) @ W - b))
        expected = code.mean(axis=0) if expected is None else 0.99 * expected + 0.01 * code.mean(axis=0)
        rho = penalty.target
        divergence = np.sum(rho * np.log(rho / expected) + (1 - rho) * np.log((1 - rho) / (1 - expected)))
        np.testing.assert_allclose(evaluation.terms[1], 0.3 * divergence, rtol=1e-9)


# Adam.


def test_adam_by_hand():
    """Both moments are divided by 1 - beta^k: with one gradient throughout, every step is the rate, in its sign."""
    adam = Adam(np.array([1.0, -2.0]), 0.1)
    for number in range(1, 4):
        adam.step(np.array([3.0, -0.01]))
        np.testing.assert_allclose(adam.theta, [1 - 0.1 * number, -2 + 0.1 * number], rtol=1e-4)
    # Memories 2 / 11, 3 / 12 and 4 / 13.
    first = 1 * 2 / 11 + 0.9 * 9 / 11
    second = first / 4 + 0.8 * 3 / 4
    np.testing.assert_allclose(adam.mean[0], second * 4 / 13 + 0.7 * 9 / 13, rtol=1e-6)
    adam.go_back(np.array([5.0, 6.0]))
    np.testing.assert_array_equal(adam.theta, [5, 6])
    np.testing.assert_array_equal(adam.mean, [5, 6])
    assert adam.rate == 0.05


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_adam_goes_on_after_a_gradient_that_is_not_finite(bad):
    adam = Adam(np.zeros(2), 0.1)
    adam.step(np.array([bad, 1.0]))
    adam.go_back(np.zeros(2))
    adam.step(np.ones(2))
    assert np.isfinite(adam.theta).all()


def test_infinite_values_of_large_step_sizes_do_not_end_the_trials(monkeypatch):
    """Of five step sizes the first three diverge; the fourth gets lowest."""
    problem = noisy_problem().with_draws(600)
    run = _Run(problem, Context(SERIAL, History("adam", 300, []), None, np.random.default_rng(0)))
    values = iter([np.inf, np.inf, np.inf, 1.0, 2.0])
    monkeypatch.setattr(run, "_evaluated", lambda theta: SimpleNamespace(value=next(values)))
    assert run._adam_of_best_rate().rate == 0.005
