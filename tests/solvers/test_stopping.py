"""When a search ends: by the fall of the objective in units of what there is to gain."""

import warnings

import numpy as np
import pytest
from scipy.special import rel_entr, xlogy
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae._solvers.search import Search
from skae._training.early_stopping import Patience

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)

# What a perfect reconstruction gains over the mean, by the formulas of the losses.
GAINS = {
    "squared_error": lambda X, mean: 0.5 * np.square(X - mean),
    "cross_entropy": lambda X, mean: rel_entr(X, mean) + rel_entr(1 - X, 1 - mean),
    "poisson": lambda X, mean: mean - X + xlogy(X, X) - xlogy(X, np.where(mean > 0, mean, 1)),
}


def gain(loss, X):
    return GAINS[loss](X, X.mean(axis=0)).sum(axis=1).mean()


def silently(estimator, X):
    """Fit without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return estimator.fit(X)


@pytest.fixture(scope="module")
def counts():
    """Counts of 400 words in 1,000 texts about eight topics, 15 words a text."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(400, 0.05), size=8)
    return rng.poisson(15 * rng.dirichlet(np.full(8, 0.2), size=1000) @ topics).astype(float)


# Fits that ended at their first iteration when the gradient's largest entry was what decided.


@pytest.mark.parametrize(
    ("Autoencoder", "binary"),
    [(AutoencoderTransformer, True), (DenoisingAutoencoder, False), (ContractiveAutoencoder, False)],
)
def test_cross_entropy_with_a_loose_tolerance(Autoencoder, binary, digits):
    X = (digits > 0.5) * 1.0 if binary else digits
    settings = {"loss": "cross_entropy", "random_state": 0}
    loose = silently(Autoencoder(50, tol=3e-3, **settings), X)
    assert loose.n_iter_ > 1
    assert loose.score(X) > 0.8
    if Autoencoder is not DenoisingAutoencoder:  # which takes longer to be sure of
        tight = Autoencoder(50, tol=3e-4, **settings).fit(X)
        assert loose.loss_ - tight.loss_ < 0.05 * gain("cross_entropy", X)


def test_counts_with_a_loose_tolerance(counts):
    settings = {"loss": "poisson", "alpha": 1e-4, "random_state": 0}
    loose = silently(AutoencoderTransformer(8, tol=3e-3, **settings), counts)
    tight = AutoencoderTransformer(8, tol=1e-3, **settings).fit(counts)
    assert loose.loss_ - tight.loss_ < 0.05 * gain("poisson", counts)
    assert loose.score(counts) > 0.3


# The rule.


@pytest.mark.parametrize("loss", GAINS)
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize(("tol", "window"), [(1e-2, 10), (1e-3, 10), (1e-2, 3)])
def test_a_search_ends_at_the_first_window_with_too_small_a_fall(loss, solver, tol, window, digits):
    X = digits[:500]
    estimator = AutoencoderTransformer(12, loss=loss, solver=solver, tol=tol, n_iter_no_change=window, random_state=0)
    curve = np.array(silently(estimator, X).loss_curve_)
    falls = (curve[:-window] - curve[window:]) / gain(loss, X)
    # The window from the start, whose value is not in the curve, is the first one that may end it.
    assert len(curve) >= window
    assert len(falls) == 0 or falls[-1] < tol
    assert (falls[:-1] >= tol).all()


@each
def test_without_a_tolerance_only_the_cap_ends_it(Autoencoder, digits):
    estimator = Autoencoder(8, tol=0, max_iter=60, random_state=0)
    with pytest.warns(ConvergenceWarning, match="it reached max_iter"):
        estimator.fit(digits[:300])
    assert estimator.n_iter_ == 60


@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder])
@pytest.mark.parametrize("unit", [2.0**-12, 2.0**12])
def test_the_units_of_the_tolerance_are_those_of_the_data(Autoencoder, unit, digits):
    """With strengths in the unit of X the fit is the same fit: powers of two change no digit."""
    first, second = Autoencoder(8, alpha=0, random_state=0), Autoencoder(8, alpha=0, random_state=0)
    if Autoencoder is SparseAutoencoder:
        first.set_params(sparsity_weight=0.1)
        second.set_params(sparsity_weight=0.1 * unit**2)
    first.fit(digits[:300])
    second.fit(digits[:300] * unit)
    assert first.n_iter_ == second.n_iter_
    np.testing.assert_allclose(np.array(second.loss_curve_) / unit**2, first.loss_curve_, rtol=1e-9)


def test_early_stopping_keeps_the_objective_s_rule(digits):
    """Where the validation loss goes on falling, the search ends when the objective no longer does."""
    stopped = silently(AutoencoderTransformer(8, alpha=1e-4, early_stopping=True, random_state=0), digits)
    assert np.argmin(stopped.validation_loss_curve_) > stopped.n_iter_ - 10
    falls = np.array(stopped.loss_curve_)[:-10] - np.array(stopped.loss_curve_)[10:]
    assert falls[-1] < 1e-3 * gain("squared_error", digits) * 1.05  # of the rows trained on


# float32.


def test_large_counts_in_float32():
    """Their losses are a million times what there is to gain."""
    rng = np.random.default_rng(0)
    X = rng.poisson(1e4 * np.exp(0.15 * rng.normal(size=(1000, 5)) @ rng.normal(size=(5, 40)))).astype(float)
    for tol in (1e-3, 1e-5):
        double, single = (
            AutoencoderTransformer(8, loss="poisson", alpha=1e-4, tol=tol, random_state=0).fit(rows)
            for rows in (X, X.astype(np.float32))
        )
        assert 1 - single.score(X) < 1.1 * (1 - double.score(X))
    assert 1 - single.score(X) < 2e-3


@pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
def test_a_mean_far_above_the_spread_in_float32(solver):
    rng = np.random.default_rng(0)
    X = 1e4 + np.tanh(0.3 * rng.normal(size=(1000, 5)) @ rng.normal(size=(5, 40)))
    double, single = (
        AutoencoderTransformer(8, activation="tanh", solver=solver, alpha=0, tol=1e-5, random_state=0).fit(rows)
        for rows in (X.astype(np.float32).astype(float), X.astype(np.float32))
    )
    assert 1 - single.score(X) < 1.2 * (1 - double.score(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_is_the_objective_itself(dtype, counts):
    """The solver sees it without its constant; the user does not."""
    X = (counts[:, :30] + 1e4).astype(dtype)
    estimator = AutoencoderTransformer(3, loss="poisson", alpha=0, max_iter=30, random_state=0).fit(X)
    rates = AutoencoderTransformer.reconstruct(estimator, X).astype(float)
    expected = (rates - xlogy(X.astype(float), rates)).sum(axis=1).mean()
    np.testing.assert_allclose(estimator.loss_, expected, rtol=1e-10 if dtype == np.float64 else 1e-6)


# Minibatches, then L-BFGS.


@pytest.fixture
def evaluated(monkeypatch):
    """The number of rows of every evaluation of a joint objective."""
    rows = []

    def recorded(name):
        evaluate = getattr(Objective, name)

        def record(self, theta):
            rows.append(len(self._problem.targets))
            return evaluate(self, theta)

        monkeypatch.setattr(Objective, name, record)

    recorded("__call__")
    recorded("value")
    return rows


@pytest.fixture
def starts_of_lbfgs(monkeypatch):
    """The iterations before each search with L-BFGS."""
    starts, search = [], Search.search

    def recorded(self):
        starts.append(self._history.n_iterations)
        return search(self)

    monkeypatch.setattr(Search, "search", recorded)
    return starts


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2000, 4)) @ rng.normal(size=(4, 12)) + 0.3 * rng.normal(size=(2000, 12))


@pytest.fixture
def joint(monkeypatch):
    """An estimator whose iterations on minibatches are one pass over 2000 rows, and more than one or two."""
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 1)
    settings = {"activation": "tanh", "solver": "kfac", "random_state": 0}
    return lambda **others: AutoencoderTransformer(3, **settings, **others)


def logged_iterations(capsys):
    return [int(line.split("]")[1].split()[0]) for line in capsys.readouterr().out.splitlines()[1:]]


def test_iterations_of_both_searches_are_logged_and_counted(joint, many, evaluated, starts_of_lbfgs, capsys):
    estimator = silently(joint(verbose=2, max_iter=240), many)
    assert logged_iterations(capsys) == list(range(1, estimator.n_iter_ + 1))
    assert len(estimator.loss_curve_) == estimator.n_iter_
    assert np.all(np.diff(estimator.loss_curve_) <= 0)
    (n_before,) = starts_of_lbfgs
    assert 5 < n_before < estimator.n_iter_ - 5
    assert evaluated.count(250) == 8 * n_before
    assert estimator.n_evaluations_ == -(-sum(evaluated) // 2000)


def test_lbfgs_goes_on_when_a_window_of_passes_gains_too_little(joint, many, starts_of_lbfgs):
    """An iteration is a pass, so that the fall of one stands for a tenth of a window."""
    curve = np.array(silently(joint(), many).loss_curve_)
    falls = -np.diff(curve) / gain("squared_error", many)
    (n_before,) = starts_of_lbfgs
    assert 10 * falls[n_before - 2] < 1e-3
    assert (10 * falls[: n_before - 2] >= 1e-3).all()
    assert (curve[-11] - curve[-1]) / gain("squared_error", many) < 1e-3


@pytest.mark.parametrize("max_iter", [1, 5, 20])
def test_max_iter_is_the_cap_on_all_iterations(max_iter, joint, many, starts_of_lbfgs, capsys):
    with pytest.warns(ConvergenceWarning, match=rf"it reached max_iter \(n_iter={max_iter}, "):
        joint(verbose=2, max_iter=max_iter).fit(many)
    assert logged_iterations(capsys) == list(range(1, max_iter + 1))
    assert len(starts_of_lbfgs) == (max_iter == 20)


@pytest.mark.parametrize(("max_fun", "on_minibatches"), [(1, True), (10, True), (24, False)])
def test_max_fun_is_the_cap_on_all_evaluations(max_fun, on_minibatches, joint, many, starts_of_lbfgs):
    """It is looked at after an iteration of two evaluations, before a last one, or a line search of 20 at the most."""
    with pytest.warns(ConvergenceWarning, match="it reached max_fun"):
        estimator = joint(max_fun=max_fun, tol=1e-2).fit(many)
    assert max_fun <= estimator.n_evaluations_ <= max_fun + (3 if on_minibatches else 20)
    assert len(starts_of_lbfgs) == (not on_minibatches)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("number", "on_minibatches"), [(1, True), (4, True), (20, False)])
def test_a_stop_gives_the_model_of_that_iterate(
    number, on_minibatches, early_stopping, joint, many, starts_of_lbfgs, monkeypatch
):
    from skae._training.log import Log

    monkeypatch.setattr(Log, "__call__", lambda self, iterate: iterate.number == number)
    monkeypatch.setattr(Log, "close", lambda self: None)
    estimator = silently(joint(verbose=1, alpha=0.0, early_stopping=early_stopping), many)
    assert len(starts_of_lbfgs) == (not on_minibatches)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == number
    if early_stopping:
        assert len(estimator.validation_loss_curve_) == number
        assert estimator.best_validation_loss_ == min(estimator.validation_loss_curve_)
    else:
        assert estimator.loss_ == estimator.loss_curve_[-1]
        assert estimator.loss_ == pytest.approx(-estimator.score_samples(many).mean(), rel=1e-9)


def test_held_out_rows_see_every_iterate_once(joint, many, starts_of_lbfgs, monkeypatch):
    """L-BFGS does not show them its start again, which would count as iteration 0."""
    considered, consider = [], Patience.consider
    monkeypatch.setattr(Patience, "consider", lambda self, it: considered.append(it.number) or consider(self, it))
    estimator = silently(joint(early_stopping=True), many)
    assert 1 < starts_of_lbfgs[0] < estimator.n_iter_
    assert considered == list(range(1, estimator.n_iter_ + 1))
