"""The short searches on parts of the rows that a joint search of many rows starts with."""

import numpy as np
import pytest
from problems import make_problem, parameters_at
from scipy.special import expit, kl_div, xlogy

from skae import AutoencoderTransformer
from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.problem import Problem
from skae._rows.threads import SERIAL
from skae._solvers import warm_up
from skae._solvers.history import History
from skae._solvers.lbfgs import LBFGS
from skae._solvers.search import Search
from skae._solvers.solver import Context
from skae._solvers.warm_up import warm_up_phases
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start
from skae.activations import ACTIVATIONS
from skae.losses import make_loss
from skae.penalties import WeightDecay

N_ROWS = 1600


def numbered_rows(n_samples=N_ROWS):
    """Rows in [0, 1] whose first entry is their number, in units of 1 / 8192."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n_samples, 3)) @ rng.uniform(size=(3, 6)) / 3
    X[:, 0] = np.arange(n_samples) / 8192
    return X


def numbers(X):
    return (X[:, 0] * 8192).astype(int)


def problem_of(X, loss="squared_error"):
    g = ACTIVATIONS["logistic"]
    architecture = Architecture((X.shape[1], 3), g, g, make_loss(loss), tied=False)
    return make_problem(architecture, X, [WeightDecay(0.1)])


def searched(X, max_iter=240, max_fun=10_000, watchers=(), seed=0):
    """The phases, the parameters at the start and the end of each, and the history."""
    problem = problem_of(X)
    limits = LBFGS(max_iter, max_fun, tol=0, n_iter_no_change=10, maxcor=10, precision=0)
    history = History("lbfgs", len(X), watchers)
    context = Context(SERIAL, history, limits, np.random.default_rng(seed))
    search, phases, ends = Search(problem, context), [], []

    def end():
        objective = search._objective(problem)
        ends.append(
            np.concatenate([part.ravel() for parts in parameters_at(objective, search._theta) for part in parts])
        )

    for phase in warm_up_phases(problem, context):
        phases.append(phase)
        search.whiten(phase.sample)
        end()
        search.minimize(phase.problem, phase.max_iter, phase.max_fun)
        end()
    assert history.was_stopped == bool(watchers)
    return phases, ends, history


def parts_of(*arguments, **options):
    """The rows of each search."""
    return [phase.problem.targets.X for phase in searched(*arguments, **options)[0]]


# The parts.


def test_every_row_is_in_one_of_four_parts():
    """So none is fitted for long, and none is left out."""
    phases, _, history = searched(numbered_rows())
    parts = [phase.problem.targets.X for phase in phases]
    assert [len(part) for part in parts] == [N_ROWS // 4] * 4
    np.testing.assert_array_equal(np.sort(numbers(np.concatenate(parts))), np.arange(N_ROWS))
    assert history.n_iterations == 60
    assert history.loss_curve == [], "its values are those of the objective over all rows"


def test_parts_of_sorted_rows_hold_every_class():
    """Rows often come sorted by class, and a part without a class would be searched for a code that neglects it.

    Of 8 classes of 200 rows, a quarter of all rows drawn at random has 50 each, with a standard deviation of 5.7.
    """
    for part in parts_of(numbered_rows()):
        counts = np.bincount(numbers(part) // 200, minlength=8)
        assert np.abs(counts - 50).max() < 5 * 5.7


def test_the_generator_decides_on_the_parts():
    """Two independent quarters of the rows share a quarter of theirs: 100, with a standard deviation of 7.5."""
    X = numbered_rows()
    first, again, other = (parts_of(X, seed=seed) for seed in (0, 0, 1))
    for part, same_part, other_part in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(part, same_part)
        assert abs(len(np.intersect1d(numbers(part), numbers(other_part))) - 100) < 5 * 7.5


def test_random_state_decides_on_the_parts(monkeypatch):
    drawn, subset = [], Problem.subset
    monkeypatch.setattr(
        Problem, "subset", lambda self, rows, threads: drawn.append(rows) or subset(self, rows, threads)
    )

    def parts(random_state):
        drawn.clear()
        AutoencoderTransformer(2, solver="lbfgs", max_iter=60, random_state=random_state).fit(numbered_rows())
        return np.concatenate(drawn)

    first, again, other = (parts(random_state) for random_state in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_parts_of_wide_rows_are_smaller(monkeypatch):
    """They are copied. They still do not overlap, and are drawn from all rows, of which there are 6400 here."""
    monkeypatch.setattr(warm_up, "_PART_ENTRIES", 6 * 400 - 1)
    parts = [numbers(part) for part in parts_of(numbered_rows(4 * N_ROWS))]
    assert [len(part) for part in parts] == [400] * 4
    assert len(np.unique(parts)) == 4 * 400
    assert max(part.min() for part in parts) < 640
    assert min(part.max() for part in parts) > 5760


def test_the_objective_on_a_part_is_that_of_its_rows():
    """Large counts, whose loss is taken about their mean: the terms that this leaves out depend on the rows."""
    X = np.random.default_rng(0).poisson(1e3 * np.exp(numbered_rows(60))).astype(float)
    part = problem_of(X, "poisson").subset(np.arange(0, 60, 4), SERIAL)
    layout = Layout(part.architecture)
    variables, offset = search_variables(part, layout)
    theta = fresh_start(part, layout, variables, np.random.default_rng(1))
    objective = Objective(part, variables, offset=offset)
    value, _, terms, _ = objective(theta)
    (W, V), (b, c) = parameters_at(objective, theta)
    rates = np.exp(expit((X[::4] - offset) @ W + b) @ V + c)
    decay = 0.05 * (np.sum(W**2) + np.sum(V**2))
    np.testing.assert_allclose(terms, [(rates - xlogy(X[::4], rates)).sum(axis=1).mean(), decay], rtol=1e-12)
    np.testing.assert_allclose(value, kl_div(X[::4], rates).sum(axis=1).mean() + decay, rtol=1e-9)


@pytest.mark.parametrize("n_samples", [40, 1000])
def test_few_rows_are_searched_as_a_whole(n_samples):
    assert searched(numbered_rows(n_samples))[0] == []


@pytest.mark.parametrize("sample_rows", [100, 4096])
def test_every_part_is_whitened_by_a_sample_of_its_own_rows(monkeypatch, sample_rows):
    monkeypatch.setattr(warm_up, "_SAMPLE_ROWS", sample_rows)
    phases, _, _ = searched(numbered_rows())
    parts, samples = ([part.targets.X for part in some] for some in zip(*(phase[:2] for phase in phases), strict=True))
    assert [len(sample) for sample in samples] == [min(sample_rows, 400)] * 4
    for part, sample in zip(parts, samples, strict=True):
        assert len(np.unique(numbers(sample))) == len(sample)
        assert np.isin(numbers(sample), numbers(part)).all()


# Where the searches end.


def test_every_search_goes_on_from_the_last_one():
    """In other variables, which change with the moments."""
    _, ends, _ = searched(numbered_rows())
    starts, ends = ends[0::2], ends[1::2]
    assert len(starts) == 4
    for start, end in zip(starts[1:], ends[:-1], strict=True):
        np.testing.assert_allclose(start, end, rtol=1e-9, atol=1e-9)
    assert np.abs(ends[0] - starts[0]).max() > 0.1


@pytest.mark.parametrize("max_fun", [4, 10, 40, 100])
def test_evaluations_of_parts_count_by_their_share(monkeypatch, max_fun):
    """They take a quarter of max_fun at the most, but for the line search that is under way, of 20 evaluations."""
    calls, evaluate = [], Objective.__call__

    def counted(self, theta):
        calls.append(len(self._problem.targets))
        return evaluate(self, theta)

    monkeypatch.setattr(Objective, "__call__", counted)
    _, _, history = searched(numbered_rows(), max_iter=1000, max_fun=max_fun)
    calls = [n_rows for n_rows in calls if n_rows < N_ROWS]  # the others are of `searched` itself
    assert history.n_rows_evaluated == N_ROWS // 4 * len(calls)
    assert history.n_evaluations == -(-len(calls) // 4)
    assert len(calls) <= max_fun + 20


@pytest.mark.parametrize("max_iter", [1, 7, 12])
def test_phases_share_the_caps_of_the_run(max_iter):
    """A phase asks for ten iterations; the last one has the rest, and makes one at least."""
    problem = problem_of(numbered_rows(60))
    limits = LBFGS(max_iter, 1000, tol=0, n_iter_no_change=10, maxcor=10, precision=0)
    history = History("lbfgs", 60, [])
    search = Search(problem, Context(SERIAL, history, limits, np.random.default_rng(0)))
    first = search.minimize(problem.subset(np.arange(30), SERIAL), max_iter=10, max_fun=1000)
    last = search.finish()
    assert first.n_iter == min(10, max_iter)
    assert last.n_iter == max(1, max_iter - first.n_iter)
    assert history.n_iterations == first.n_iter + last.n_iter


def test_a_request_to_stop_ends_the_searches():
    phases, _, history = searched(numbered_rows(), watchers=[lambda iterate: iterate.number == 18])
    assert len(phases) == 2
    assert history.n_iterations == 18


@pytest.mark.parametrize(("max_iter", "n_searches"), [(1, 0), (59, 0), (60, 1), (239, 3), (1000, 4)])
def test_searches_take_at_most_a_quarter_of_the_iterations(max_iter, n_searches):
    assert len(searched(numbered_rows(), max_iter)[0]) == n_searches
