"""The stochastic search: what it draws, what it reports, where its phase ends, and what L-BFGS adds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from problems import objective_terms
from scipy.sparse import csr_array
from scipy.special import expit

from skae._network.architecture import Architecture
from skae._objective.joint import Objective
from skae._objective.marginal import MarginalObjective
from skae._objective.noise import PreparedCorruption, drawn, marginal
from skae._objective.problem import make_problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL, RowThreads
from skae._solvers.history import History
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status
from skae._solvers.search import JointSearch
from skae._solvers.solver import Context
from skae._solvers.stochastic import StochasticSearch, _Phase, _rows_of_batches
from skae._weights import Weights
from skae.activations import ACTIVATIONS
from skae.corruption import Gaussian, Masking
from skae.losses import make_loss
from skae.penalties import KLSparsity, WeightDecay

N_ROWS = 300
# Of an iteration: 12 steps of 50 rows, two passes.
BATCH, ITERATION = 50, 600
MASKING, DECAY = Masking(0.25), WeightDecay(1e-3)
KINDS = ["clean", "drawn", "marginal"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def short_iterations(monkeypatch):
    for name, value in {"BATCH": BATCH, "ITERATION": ITERATION, "DRAWN": 600}.items():
        monkeypatch.setattr(f"skae._solvers.stochastic._{name}_ROWS", value)


def make_rows(n_rows=N_ROWS):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(n_rows, 2)) @ rng.uniform(size=(2, 6)) + 0.05 * rng.uniform(size=(n_rows, 6))


def problem_of(kind="clean", X=None, weights=None, penalties=(DECAY,), tied=False, corruption=MASKING):
    X = make_rows() if X is None else X
    rows, weights, g = rows_of(X), np.ones(X.shape[0]) if weights is None else weights, ACTIVATIONS["logistic"]
    architecture = Architecture((X.shape[1], 3), g, g, make_loss("squared_error"), tied)
    noise, rng = None, np.random.default_rng(0)
    if kind == "drawn":
        noise = drawn(PreparedCorruption(corruption, rows, weights), rows, architecture.layer_widths, rng)
    if kind == "marginal":
        noise = marginal(PreparedCorruption(corruption, rows, weights), rows, weights, 3, rng)
    statistics = statistics_of([rows], weights, SERIAL)
    return make_problem(architecture, tuple(penalties), rows, Weights(weights), statistics, SERIAL, noise)


@dataclass
class Run:
    """What a search returned, its history, and what its watcher saw: objective, fall, parameters, evaluations."""

    result: object
    history: History
    iterates: list

    @property
    def objectives(self):
        return np.array([objective for objective, *_ in self.iterates])

    @property
    def parameters(self):
        return self.iterates[-1][2]


def context_of(problem, seed=0, threads=SERIAL, watchers=(), start=None, is_refined=False, **limits):
    caps = {"max_iter": 5, "max_fun": 10**6, "tol": 0, "n_iter_no_change": 10, "maxcor": 10, "precision": 0}
    history = History("kfac", len(problem.targets), watchers)
    return Context(threads, history, LBFGS(**{**caps, **limits}), np.random.default_rng(seed), start, is_refined)


def searched(problem, solver=None, *, stop_at=None, **options):
    iterates = []

    def watch(iterate):
        iterates.append((iterate.objective, iterate.fall, iterate.parameters, iterate.n_evaluations))
        return iterate.number == stop_at

    context = context_of(problem, watchers=[watch], **options)
    solver = StochasticSearch() if solver is None else solver
    result = solver.search(context) if isinstance(solver, PhaseAlone) else solver.solve(problem, context)
    return Run(result, context.history, iterates)


@dataclass
class PhaseAlone:
    """The phase before L-BFGS, for a look at it by itself."""

    problem: object

    def search(self, context):
        self.phase = _Phase(self.problem, context)
        return self.phase.search()


def phase_of(problem, **options):
    return searched(problem, PhaseAlone(problem), **options)


def assert_same_parameters(first, second, **tolerances):
    for parts, others in zip(first[:2], second[:2], strict=True):
        for part, other in zip(parts, others, strict=True):
            np.testing.assert_allclose(part, other, **tolerances)


# The draws.


@every_kind
def test_the_generator_decides(kind):
    first, again, other = (searched(problem_of(kind), seed=seed).result.theta for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@every_kind
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_decide(kind, n_threads, monkeypatch):
    """But for the rounding of sums in another order."""
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    single = searched(problem_of(kind), max_iter=2)
    with ThreadPoolExecutor(n_threads) as executor:
        runs = [searched(problem_of(kind), max_iter=2, threads=RowThreads(n_threads, executor)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].result.theta, runs[1].result.theta)
    np.testing.assert_allclose(runs[0].result.theta, single.result.theta, rtol=1e-7, atol=1e-9)


def batches_of(problem, n_batches):
    batches = _rows_of_batches(problem.targets, problem.weights, np.random.default_rng(0))
    return np.array([next(batches) for _ in range(n_batches)])


def test_equal_weights_take_each_row_once_a_pass():
    """Of 120 rows a batch of 50 may end one pass and begin the next."""
    rows = batches_of(problem_of(X=make_rows(120), weights=np.full(120, 0.3)), 12)
    assert rows.shape == (12, BATCH)
    for number in range(5):
        np.testing.assert_array_equal(np.sort(rows.ravel()[120 * number : 120 * (number + 1)]), np.arange(120))
    assert not np.array_equal(rows.ravel()[:120], rows.ravel()[120:240])


def test_weights_are_the_frequencies_of_rows():
    """Of n draws, w_i n / sum w, within five standard deviations; as of rows repeated w_i times."""
    weights = np.arange(N_ROWS) % 4 + 1.0
    rows, shares = batches_of(problem_of(weights=weights), 6000).ravel(), weights / weights.sum()
    deviations = np.bincount(rows, minlength=N_ROWS) - len(rows) * shares
    np.testing.assert_array_less(np.abs(deviations), 5 * np.sqrt(len(rows) * shares))


@pytest.mark.parametrize("n_rows", [1, 7, BATCH - 1, BATCH, BATCH + 1])
def test_few_rows_are_taken_again(n_rows):
    rows = batches_of(problem_of(X=make_rows()[:n_rows]), 4)
    counts = np.bincount(rows.ravel(), minlength=n_rows)
    assert counts.sum() == 4 * BATCH
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("kind", ["clean", "drawn"])
@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_minibatches_are_on_average_that_of_the_problem(kind, tied):
    """With weights, and with new noise in each: within five standard errors of the gradient over all rows."""
    problem = problem_of(kind, weights=np.exp(3 * make_rows()[:, 0]), tied=tied)
    phase, rng, gradients = _Phase(problem, context_of(problem)), np.random.default_rng(3), []
    rows, theta = _rows_of_batches(problem.targets, problem.weights, rng), phase._theta
    for _ in range(2000):
        phase._on_batch.go_on_with(problem.batch(next(rows), rng))
        gradients.append(phase._on_batch(theta).gradient)
    # Clean rows are all there are; drawn ones are judged on as many draws as 400 batches.
    share = 1 / 2000 + (len(problem.inputs) * N_ROWS / BATCH) ** -1 * (kind == "drawn")
    error = np.std(gradients, axis=0) * np.sqrt(share)
    deviation = np.mean(gradients, axis=0) - phase._on_all(theta).gradient
    np.testing.assert_array_less(np.abs(deviation), 5 * error + 1e-12)


@pytest.mark.parametrize("kind", ["drawn", "marginal"])
def test_noise_is_new_in_every_minibatch(kind):
    """And is that of the corruption: a quarter of the entries are masked."""
    problem, rng = problem_of(kind), np.random.default_rng(0)
    rows = np.repeat(np.arange(N_ROWS), 10)
    first, second = (problem.batch(rows, rng).inputs[0].dense() for _ in range(2))
    for part in (first, second):
        assert np.mean(part != problem.targets.X[rows]) == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / part.size))
    both = (first != problem.targets.X[rows]) & (second != problem.targets.X[rows])
    assert np.mean(both) == pytest.approx(0.25**2, abs=5 * 0.25 / np.sqrt(both.size))


def test_sparsity_sees_a_running_mean_of_the_code():
    """m <- 0.99 m + 0.01 of each minibatch, from the first one on; all rows have their own."""
    penalty, expected, rng = KLSparsity(0.3, 0.1), None, np.random.default_rng(3)
    problem = problem_of(penalties=[penalty])
    phase = _Phase(problem, context_of(problem))
    objective, theta, batches = phase._on_batch, phase._theta, _rows_of_batches(problem.targets, problem.weights, rng)
    for _ in range(4):
        batch = problem.batch(next(batches), rng)
        objective.go_on_with(batch)
        evaluation = objective(theta)
        parameters = objective.parameters(theta, evaluation)
        W, b = parameters.weights[0], parameters.intercepts[0]
        mean, of_all = (expit((X - parameters.offset) @ W + b).mean(axis=0) for X in (batch.targets.X, make_rows()))
        expected = mean if expected is None else 0.99 * expected + 0.01 * mean
        for value, r in ((evaluation.terms[1], expected), (phase._on_all.value(theta).terms[1], of_all)):
            divergence = np.sum(0.1 * np.log(0.1 / r) + 0.9 * np.log(0.9 / (1 - r)))
            np.testing.assert_allclose(value, 0.3 * divergence, rtol=1e-8)


@pytest.mark.parametrize("kind", ["clean", "drawn"])
def test_the_unit_of_X_does_not_matter(kind):
    """All thetas of an untied autoencoder are free of it."""
    runs = [phase_of(problem_of(kind, unit * make_rows(), penalties=()), max_iter=2) for unit in (1.0, 1e-6, 1e6)]
    for run, unit in zip(runs[1:], (1e-6, 1e6), strict=True):
        np.testing.assert_allclose(run.objectives, unit**2 * runs[0].objectives, rtol=1e-6)
        np.testing.assert_allclose(run.result.theta, runs[0].result.theta, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("tied", [False, True])
def test_the_phase_starts_at_the_mean(tied):
    """Of a code of 1/2, the middle of logistic units, the raw output is the mean of X."""
    problem = problem_of(tied=tied)
    phase = _Phase(problem, context_of(problem))
    parameters = phase._on_all.parameters(phase._theta, phase._on_all.value(phase._theta))
    raw = np.full(3, 0.5) @ parameters.weights[1] + parameters.intercepts[1]
    np.testing.assert_allclose(raw, make_rows().mean(axis=0), rtol=1e-10)


# The reports.


@every_kind
@pytest.mark.parametrize("tied", [False, True])
def test_iterates_do_not_rise_and_the_last_is_the_result(kind, tied):
    problem = problem_of(kind, tied=tied)
    run = searched(problem, max_iter=6)
    assert len(run.iterates) == run.history.n_iterations == 6
    assert run.history.loss_curve == list(run.objectives)
    assert np.all(np.diff(run.objectives) <= 0)
    assert run.objectives[-1] < run.objectives[0]
    assert np.all(np.array([fall for _, fall, *_ in run.iterates]) >= 0)
    assert run.result.status == Status.MAX_ITER
    # The parameters have the objective that the iterate reports, on the draws by which the search judges.
    judged = problem.with_draws(600) if kind == "drawn" else problem
    for place in (0, -1):
        terms = objective_terms(judged, run.iterates[place][2])
        np.testing.assert_allclose(terms.sum(), run.objectives[place], rtol=1e-10)
    value = run.objectives[-1] - problem.perfect_loss
    np.testing.assert_allclose(run.result.value, value, rtol=1e-10)
    assert run.result.fall == run.iterates[-1][1]


@every_kind
def test_the_gradient_norm_of_the_phase(kind):
    """Its largest entry in the unit, at the result."""
    solver = PhaseAlone(problem_of(kind).with_draws(600) if kind == "drawn" else problem_of(kind))
    run = searched(solver.problem, solver, max_iter=1)
    value, theta = solver.phase._on_all.value, run.result.theta
    numeric = [(value(theta + step).value - value(theta - step).value) / 2e-5 for step in 1e-5 * np.eye(len(theta))]
    assert run.result.gradient_norm == pytest.approx(np.abs(numeric).max() / solver.problem.loss_unit, rel=1e-4)


def test_the_history_counts_iterations_and_rows():
    """The start, then in an iteration 600 rows of steps, which are two passes, and one over all rows; the end."""
    run = phase_of(problem_of(), max_iter=3)
    assert [n_evaluations for *_, n_evaluations in run.iterates] == [1 + 3, 1 + 6, 1 + 9]
    assert run.history.n_rows_evaluated == 11 * N_ROWS
    assert (run.result.n_iter, run.result.n_evaluations) == (3, 11)


def test_the_history_counts_an_evaluation_of_all_draws_as_one():
    """Two draws of 300 rows: 600 rows of steps are one such evaluation."""
    problem = problem_of("drawn").with_draws(600)
    run = phase_of(problem, max_iter=3)
    assert [n_evaluations for *_, n_evaluations in run.iterates] == [1 + 2, 1 + 4, 1 + 6]


def test_many_rows_make_one_pass_an_iteration():
    problem = problem_of(X=make_rows(1310))
    run = phase_of(problem, max_iter=1)
    assert run.history.n_rows_evaluated == 3 * 1310 + 27 * BATCH  # 1310 / 50 steps, rounded up


# The end.


@every_kind
@pytest.mark.parametrize("max_iter", [1, 4])
def test_max_iter(kind, max_iter):
    run = searched(problem_of(kind), max_iter=max_iter)
    assert (run.result.status, len(run.iterates)) == (Status.MAX_ITER, max_iter)


def test_max_iter_after_the_phase():
    n_phase = len(phase_of(problem_of(), tol=1e-2, max_iter=100).iterates)
    run = searched(problem_of(), tol=1e-2, max_iter=n_phase + 2)
    assert (run.result.status, len(run.iterates)) == (Status.MAX_ITER, n_phase + 2)


@every_kind
def test_max_fun_ends_after_the_iteration_that_reaches_it(kind):
    run = searched(problem_of(kind), max_fun=8, max_iter=1000)
    assert run.result.status == Status.MAX_FUN
    assert run.history.n_evaluations == run.result.n_evaluations == (10 if kind == "drawn" else 11)


def test_max_fun_after_the_phase():
    n_phase = phase_of(problem_of(), tol=1e-2, max_iter=100).history.n_evaluations
    run = searched(problem_of(), tol=1e-2, max_iter=100, max_fun=n_phase + 5)
    assert run.result.status == Status.MAX_FUN
    assert n_phase + 5 <= run.history.n_evaluations <= n_phase + 7


@every_kind
def test_a_watcher_stops_the_phase(kind):
    run = searched(problem_of(kind), stop_at=2, max_iter=100)
    assert (run.result.status, len(run.iterates)) == (Status.CALLBACK, 2)


def test_a_watcher_stops_the_search_after_the_phase():
    n_phase = len(phase_of(problem_of(), tol=1e-2, max_iter=100).iterates)
    run = searched(problem_of(), tol=1e-2, max_iter=100, stop_at=n_phase + 2)
    assert (run.result.status, len(run.iterates)) == (Status.CALLBACK, n_phase + 2)


@pytest.mark.parametrize(("n_iter_no_change", "n_windows"), [(10, 5), (20, 10), (1, 2), (2, 2)])
def test_the_phase_ends_when_it_gains_too_little_in_a_window(n_iter_no_change, n_windows):
    """An iteration is two passes, so that 10 passes are 5 iterations: the last fall times 5 is below tol, or at least
    times 2.
    """
    problem, tol = problem_of(), 0.05
    run = phase_of(problem, tol=tol, max_iter=100, n_iter_no_change=n_iter_no_change)
    falls = -n_windows * np.diff(run.objectives) / problem.loss_unit
    assert run.result.status == Status.CONVERGED
    assert np.all(falls[:-1] >= tol)
    assert falls[-1] < tol


def test_a_drawn_problem_ends_when_it_has_gained_too_little_in_the_last_window():
    """Ten passes, of two an iteration, are five iterations, of which each may gain next to nothing."""
    problem, tol = problem_of("drawn"), 1e-2
    run = searched(problem, tol=tol, max_iter=200)
    values = run.objectives / problem.loss_unit
    falls = values[:-5] - values[5:]
    assert run.result.status == Status.CONVERGED
    assert np.all(falls[:-1] >= tol)
    assert falls[-1] < tol
    # What is reported is the fall in n_iter_no_change iterations.
    np.testing.assert_allclose([fall for _, fall, *_ in run.iterates[10:]], values[:-10] - values[10:], atol=1e-12)


def test_without_a_tolerance_the_phase_ends_when_nothing_falls():
    run = phase_of(problem_of(), tol=0, max_iter=1000)
    assert run.result.status == Status.PRECISION
    assert run.objectives[-1] == run.objectives[-2]
    assert np.all(np.diff(run.objectives)[:-1] < 0)


def test_a_cap_that_the_phase_reaches_ends_the_search():
    """Also where it has gained too little in that iteration: L-BFGS would take one more."""
    n_phase = len(searched((phase := PhaseAlone(problem_of())).problem, phase, tol=1e-2, max_iter=100).iterates)
    run = searched(problem_of(), tol=1e-2, max_iter=n_phase)
    assert len(run.iterates) == n_phase
    assert run.result.status == Status.MAX_ITER


@pytest.mark.parametrize("tied", [False, True])
def test_lbfgs_goes_on_from_the_mean_and_falls_further(tied):
    solver = PhaseAlone(problem_of(tied=tied))
    phase = searched(solver.problem, solver, tol=1e-2, max_iter=100)
    run = searched(problem_of(tied=tied), tol=1e-2, max_iter=100)
    n_phase = len(phase.iterates)
    np.testing.assert_array_equal(run.objectives[:n_phase], phase.objectives)
    assert len(run.iterates) > n_phase
    assert run.objectives[-1] < run.objectives[n_phase - 1]
    rng = np.random.default_rng(0)
    context = replace(context_of(solver.problem, max_iter=100, tol=1e-2), start=phase.parameters, rng=rng)
    first = JointSearch().solve(solver.problem, context)
    assert first.value <= phase.result.value


@every_kind
@pytest.mark.parametrize("tied", [False, True])
def test_it_comes_near_the_minimum_of_lbfgs(kind, tied):
    """The clean problem to its rounding, and so does the marginal one; hardly any noise leaves a drawn one near."""
    corruption = Gaussian(1e-4) if kind == "drawn" else MASKING
    problem = problem_of(kind, tied=tied, penalties=[WeightDecay(0.01)], corruption=corruption)
    stochastic = searched(problem, max_iter=3000, tol=1e-7)
    judged = problem.with_draws(600) if kind == "drawn" else problem
    exact = searched(judged, JointSearch(), max_iter=3000, tol=1e-9)
    difference = (stochastic.result.value - exact.result.value) / problem.loss_unit
    assert -1e-5 < difference < (0.01 if kind == "drawn" else 1e-5)


def test_a_refined_start_skips_the_phase():
    """From a result of L-BFGS, with the same numbers."""
    start = searched(problem_of(), JointSearch(), max_iter=20).parameters
    run, expected = (
        searched(problem_of(), solver, start=start, is_refined=True) for solver in (StochasticSearch(), JointSearch())
    )
    np.testing.assert_array_equal(run.result.theta, expected.result.theta)
    assert run.history.n_evaluations == expected.history.n_evaluations


def test_any_other_start_is_where_the_phase_begins():
    start = searched(problem_of(), JointSearch(), max_iter=20)
    run = searched(problem_of(), start=start.parameters)
    refined = searched(problem_of(), start=start.parameters, is_refined=True)
    assert run.objectives[0] < start.objectives[-1]
    assert run.objectives[0] != refined.objectives[0]


def test_a_start_of_a_drawn_problem_is_where_its_phase_begins():
    """No iterate is worse, and some are better."""
    problem = problem_of("drawn")
    first = searched(problem, max_iter=3)
    run = searched(problem, start=first.parameters, max_iter=6, n_iter_no_change=100)
    assert run.objectives[0] <= first.objectives[-1] * (1 + 1e-9)
    assert run.objectives[-1] < first.objectives[-1]
    # The phase's and no other's: L-BFGS has another number of evaluations.
    assert [n_evaluations for *_, n_evaluations in run.iterates] == [1 + 2 * number for number in range(1, 7)]


# What it minimises.


def test_a_drawn_problem_is_judged_on_fixed_draws_and_ends_in_its_phase(monkeypatch):
    """As many of its draws as make 600 rows, which L-BFGS never sees."""
    monkeypatch.setattr("skae._solvers.stochastic.JointSearch", None)
    problem = problem_of("drawn")
    assert len(problem.inputs) > 2
    run = searched(problem, max_iter=3)
    parameters = run.parameters
    (W, V), (b, c) = parameters.weights, parameters.intercepts
    losses = [
        0.5 * np.sum((expit((draw.dense() - parameters.offset) @ W + b) @ V + c - make_rows()) ** 2, axis=1).mean()
        for draw in problem.inputs[:2]
    ]
    decay = 0.5e-3 * (np.sum(W**2) + np.sum(V**2))
    assert run.objectives[-1] == pytest.approx(np.mean(losses) + decay, rel=1e-10)


def test_a_marginal_problem_takes_draws_in_its_steps_and_is_judged_by_its_moments():
    """And L-BFGS ends on the latter, whose terms it reports."""
    problem = problem_of("marginal")
    phase = _Phase(problem, context_of(problem))
    assert type(phase._on_batch) is Objective
    assert type(phase._on_all) is MarginalObjective
    phase._observe(problem.sample(phase._rng))
    phase._descend()
    assert phase._on_batch._problem.inputs[0].dense().shape == (BATCH, 6)
    assert np.mean(phase._on_batch._problem.inputs[0].dense() != phase._on_batch._problem.targets.X) > 0.1
    run = searched(problem, max_iter=1000, tol=1e-3)
    assert run.result.status == Status.CONVERGED
    np.testing.assert_allclose(objective_terms(problem, run.parameters).sum(), run.objectives[-1], rtol=1e-10)


@every_kind
def test_iterates_are_judged_with_the_weights(kind):
    """As if the rows were repeated."""
    counts = np.arange(60) % 3 + 1
    X = make_rows(60)
    weighted = problem_of(kind, X, counts.astype(float), penalties=[WeightDecay(0.01)])
    run = searched(weighted, max_iter=5)
    parameters = run.parameters
    judged = weighted.with_draws(600) if kind == "drawn" else weighted
    terms = objective_terms(judged, parameters)
    assert run.objectives[-1] == pytest.approx(terms.sum(), rel=1e-10)
    if kind == "clean":
        repeated = problem_of(kind, np.repeat(X, counts, axis=0), penalties=[WeightDecay(0.01)])
        assert run.objectives[-1] == pytest.approx(objective_terms(repeated, parameters).sum(), rel=1e-10)


@every_kind
@pytest.mark.parametrize("tied", [False, True])
def test_sparse_rows_are_fitted_as_dense_ones(kind, tied):
    X = make_rows() * (np.random.default_rng(1).random((N_ROWS, 6)) < 0.5)
    dense, sparse = (searched(problem_of(kind, part, tied=tied), max_iter=3) for part in (X, csr_array(X)))
    np.testing.assert_allclose(sparse.objectives, dense.objectives, rtol=1e-7)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_rows(tied, value):
    """The mean is all there is to learn, and is the start."""
    run = searched(problem_of(X=np.full((N_ROWS, 6), value), tied=tied), max_iter=50, tol=1e-4)
    assert run.result.is_finite
    parameters = run.parameters
    (W, V), (b, c) = parameters.weights, parameters.intercepts
    np.testing.assert_allclose(expit((value - parameters.offset) @ W + b) @ V + c, value, atol=1e-3)


def test_float32_rows_are_fitted_as_float64_ones():
    runs = [phase_of(problem_of(X=make_rows().astype(dtype)), max_iter=3) for dtype in (np.float32, np.float64)]
    assert [run.result.theta.dtype for run in runs] == [np.float32, np.float64]
    np.testing.assert_allclose(runs[0].objectives, runs[1].objectives, rtol=1e-3)


# Values that are not finite.


class Faulty(Objective):
    """Gives a gradient that is not finite at the call of that number."""

    n_calls, bad_call = 0, 0

    def __call__(self, theta):
        evaluation = super().__call__(theta)
        self.n_calls += 1
        if self.n_calls == self.bad_call:
            evaluation.gradient[...] = np.inf
        return evaluation


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bad_call", [1, 3, 20])
def test_the_phase_goes_back_from_a_gradient_that_is_not_finite_and_on(bad_call, tied, monkeypatch):
    monkeypatch.setattr(Faulty, "bad_call", bad_call)
    monkeypatch.setattr("skae._solvers.stochastic.Objective", Faulty)
    run = searched(problem_of("drawn", tied=tied), max_iter=10, n_iter_no_change=100)
    assert np.isfinite(run.objectives).all()
    assert np.all(np.diff(run.objectives) <= 0)
    assert run.objectives[-1] < 0.7 * run.objectives[0]
    assert run.result.is_finite


@every_kind
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_mean_that_is_not_finite_is_left_out(kind, bad, monkeypatch):
    """The best point so far stands in its place."""
    problem = problem_of(kind)
    solver = PhaseAlone(problem)
    evaluated, numbers = _Phase._evaluated, iter(range(100))

    def sometimes_bad(self, theta):
        evaluation = evaluated(self, theta)
        return evaluation._replace(value=bad) if next(numbers) == 2 else evaluation

    monkeypatch.setattr(_Phase, "_evaluated", sometimes_bad)
    run = searched(problem, solver, max_iter=6, n_iter_no_change=100)
    assert run.objectives[1] == run.objectives[0]
    assert run.result.is_finite
    if kind == "drawn":
        assert run.objectives[-1] < run.objectives[1]


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_start_that_is_not_finite_is_an_error(bad, monkeypatch):
    monkeypatch.setattr(_Phase, "_evaluated", lambda self, theta: self._on_all.value(theta)._replace(value=bad))
    with pytest.raises(ValueError, match="not finite"):
        searched(problem_of())
