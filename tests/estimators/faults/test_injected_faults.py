"""A fault in the middle of a fit leaves nothing behind: in an evaluation, in a thread, in what users bring.

The plain tests make a fault at the first, the middle and the last call of a function, in one estimator. The slow ones
make it at every call, in every estimator.
"""

import copy
import threading

import numpy as np
import pytest

import skae._solvers.closed_form
import skae._training.run
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae._rows import threads


def situations(*names):
    return pytest.mark.parametrize("situation", names, indirect=True)


# In the evaluations.


@situations("warm start")
def test_fault_at_some_evaluations(solver, situation, fault, X, make, at_calls_of, fit_with_some_faults):
    estimator = situation(make(SparseAutoencoder, solver=solver))
    assert fit_with_some_faults(estimator, X, at_calls_of(Objective, "__call__", fault), fault) >= 4


@pytest.mark.slow
def test_fault_at_every_evaluation(Autoencoder, solver, situation, fault, X, make, at_calls_of, fit_with_faults):
    estimator = situation(make(Autoencoder, solver=solver))
    assert fit_with_faults(estimator, X, at_calls_of(Objective, "__call__", fault), fault) >= 4


@pytest.fixture
def short_iterations(monkeypatch):
    """Iterations of two steps on minibatches."""
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 500)


@pytest.mark.usefixtures("short_iterations")
@pytest.mark.parametrize("settings", [{}, {"loss": "cross_entropy"}], ids=["then L-BFGS", "new noise"])
@pytest.mark.parametrize("name", ["__call__", "value", "_sweep", "penalty_curvatures"])
def test_fault_in_a_search_on_minibatches(settings, name, fault, X, make, at_calls_of, fit_with_some_faults):
    Autoencoder = DenoisingAutoencoder if settings else SparseAutoencoder
    estimator = make(Autoencoder, solver="kfac", tol=1.0, **settings)
    assert fit_with_some_faults(estimator, X, at_calls_of(Objective, name, fault), fault) >= 1


@pytest.mark.slow
@pytest.mark.usefixtures("short_iterations")
def test_fault_at_every_evaluation_of_a_search_on_minibatches(
    Autoencoder, situation, fault, X, make, at_calls_of, fit_with_faults
):
    estimator = situation(make(Autoencoder, solver="kfac", loss="cross_entropy", max_iter=2))
    assert fit_with_faults(estimator, X, at_calls_of(Objective, "__call__", fault), fault) >= 2


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)], ids=["no seed", "generator"])
def test_a_fault_does_not_draw_from_the_seed(seed, X, make, at_calls_of, surroundings_of):
    """Of what the estimator holds, a generator is the only thing with a content that a fit changes."""
    estimator = make(AutoencoderTransformer, random_state=seed)
    surroundings = surroundings_of(estimator)
    with at_calls_of(Objective, "__call__", RuntimeError)(2), pytest.raises(RuntimeError, match="injected"):
        estimator.fit(X)
    surroundings.assert_unchanged()


# In the closed form.


@pytest.fixture
def linear(make):
    """A function that makes an estimator that the closed form is for."""
    weak = {ContractiveAutoencoder: {"contraction_weight": 1e-3}}
    return lambda Autoencoder: make(Autoencoder, activation="identity", solver="svd", **weak.get(Autoencoder, {}))


def test_fault_in_the_closed_form(fault, X, linear, at_calls_of, fit_with_faults):
    inject = at_calls_of(skae._solvers.closed_form, "optimum", fault)
    assert fit_with_faults(linear(AutoencoderTransformer), X, inject, fault) == 1


@pytest.mark.slow
@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, ContractiveAutoencoder])
@situations("fresh", "refit", "warm start")
@pytest.mark.parametrize("after", [False, True])
def test_fault_in_every_closed_form(Autoencoder, situation, after, fault, X, linear, at_calls_of, fit_with_faults):
    inject = at_calls_of(skae._solvers.closed_form, "optimum", fault, after)
    assert fit_with_faults(situation(linear(Autoencoder)), X, inject, fault) == 1


# In the loss of held-out rows.


@situations("early stopping")
def test_fault_at_some_losses_of_held_out_rows(situation, fault, X, make, at_calls_of, fit_with_some_faults):
    inject = at_calls_of(skae._training.run, "mean_loss", fault)
    assert fit_with_some_faults(situation(make(SparseAutoencoder)), X, inject, fault) >= 4


@pytest.mark.slow
@situations("early stopping", "warm start with early stopping")
def test_fault_at_every_loss_of_held_out_rows(situation, solver, fault, X, make, at_calls_of, fit_with_faults):
    inject = at_calls_of(skae._training.run, "mean_loss", fault)
    assert fit_with_faults(situation(make(SparseAutoencoder, solver=solver)), X, inject, fault) >= 4


# In the threads that share the rows.


@pytest.mark.usefixtures("shared_rows")
@pytest.mark.parametrize("sweep", ["_sweep", "_sum_statistics_of"])
def test_fault_at_some_sweeps_of_a_thread(sweep, fault, X, make, at_calls_of, fit_with_some_faults):
    estimator = make(SparseAutoencoder, solver="varpro", max_iter=2)
    assert fit_with_some_faults(estimator, X, at_calls_of(Objective, sweep, fault), fault) >= 6


@pytest.mark.slow
@pytest.mark.usefixtures("shared_rows")
@pytest.mark.parametrize("Autoencoder", [SparseAutoencoder, DenoisingAutoencoder, AutoencoderTransformer])
@pytest.mark.parametrize("sweep", ["_sweep", "_sum_statistics_of"])
def test_fault_at_every_sweep_of_a_thread(Autoencoder, solver, sweep, fault, X, make, at_calls_of, fit_with_faults):
    estimator = make(Autoencoder, solver=solver, max_iter=2)
    n_faults = fit_with_faults(estimator, X, at_calls_of(Objective, sweep, fault), fault)
    sweeps_first = solver == "varpro" or Autoencoder is not AutoencoderTransformer
    assert n_faults >= 6 if sweep == "_sweep" or sweeps_first else n_faults == 0


@pytest.mark.usefixtures("shared_rows")
def test_fault_in_two_threads_at_once(fault, X, make, is_same_model, surroundings_of, monkeypatch):
    estimator, both = make(SparseAutoencoder, solver="lbfgs"), threading.Barrier(2)
    expected, surroundings = copy.deepcopy(estimator).fit(X), surroundings_of(estimator)

    def sweep(objective, worker):
        if worker is not objective._workers[2]:
            both.wait(timeout=120)
            raise fault("injected")
        return swept(objective, worker)

    swept = Objective._sweep
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "_sweep", sweep)
        with pytest.raises(fault, match="injected"):
            estimator.fit(X)
    surroundings.assert_unchanged()
    assert is_same_model(estimator.fit(X), expected)


@pytest.fixture
def at_calls_of_the_executor(at_calls_of):
    """After its own work, for nothing can be done about an executor that does not shut down."""
    return lambda name, fault: at_calls_of(threads.ThreadPoolExecutor, name, fault, after=True)


@pytest.mark.usefixtures("shared_rows")
@pytest.mark.parametrize("name", ["submit", "shutdown", "__init__"])
def test_fault_at_some_calls_of_the_executor(name, fault, X, make, at_calls_of_the_executor, fit_with_some_faults):
    estimator = make(SparseAutoencoder, solver="varpro", max_iter=1)
    assert fit_with_some_faults(estimator, X, at_calls_of_the_executor(name, fault), fault) >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("shared_rows")
@pytest.mark.parametrize("name", ["submit", "shutdown", "__init__"])
def test_fault_at_every_call_of_the_executor(name, fault, X, make, at_calls_of_the_executor, fit_with_faults):
    estimator = make(SparseAutoencoder, solver="varpro", max_iter=1)
    assert fit_with_faults(estimator, X, at_calls_of_the_executor(name, fault), fault) >= 2


# In what users bring.


class Draw:
    """A corruption of its own kind, like what users write."""

    def __call__(self, X, rng):
        return X + rng.normal(scale=0.1, size=X.shape)


@pytest.fixture
def draws_are_not_stored(monkeypatch):
    monkeypatch.setattr("skae._objective.noise._SMALL", 0)


@pytest.mark.usefixtures("draws_are_not_stored")
@situations("warm start")
def test_fault_in_a_corruption(situation, fault, X, make, at_calls_of, fit_with_some_faults):
    estimator = situation(make(DenoisingAutoencoder, corruption=Draw()))
    assert fit_with_some_faults(estimator, X, at_calls_of(Draw, "__call__", fault), fault) > 3


@pytest.mark.slow
@pytest.mark.usefixtures("draws_are_not_stored")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("solver", ["varpro", "kfac"])
def test_fault_in_a_corruption_in_every_situation(
    after, solver, situation, fault, X, make, at_calls_of, fit_with_some_faults
):
    estimator = situation(make(DenoisingAutoencoder, corruption=Draw(), solver=solver))
    assert fit_with_some_faults(estimator, X, at_calls_of(Draw, "__call__", fault, after), fault) > 3


class Hooks:
    """A callback of scikit-learn's that does nothing."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return fitted_estimator is None and None


@pytest.fixture
def with_hooks(make):
    pytest.importorskip("sklearn.callback", reason="scikit-learn below 1.9 has no callbacks")
    return lambda Autoencoder: make(Autoencoder, max_iter=2).set_callbacks(Hooks())


@situations("restarts")
@pytest.mark.parametrize("hook", ["setup", "on_fit_task_begin", "on_fit_task_end"])
def test_fault_at_some_calls_of_a_callback(situation, hook, fault, X, with_hooks, at_calls_of, fit_with_some_faults):
    estimator = situation(with_hooks(AutoencoderTransformer))
    n_calls = fit_with_some_faults(estimator, X, at_calls_of(Hooks, hook, fault), fault)
    assert n_calls == 1 if hook == "setup" else n_calls >= 3


@pytest.mark.slow
@situations("fresh", "refit", "warm start", "early stopping", "restarts")
@pytest.mark.parametrize("hook", ["setup", "on_fit_task_begin", "on_fit_task_end"])
def test_fault_at_every_call_of_a_callback(
    Autoencoder, situation, hook, fault, X, with_hooks, at_calls_of, fit_with_faults
):
    n_calls = fit_with_faults(situation(with_hooks(Autoencoder)), X, at_calls_of(Hooks, hook, fault), fault)
    assert n_calls == 1 if hook == "setup" else n_calls >= 3
