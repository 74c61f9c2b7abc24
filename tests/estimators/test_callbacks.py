"""scikit-learn's callbacks: what the hooks are given, when, and that a request to stop is one."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.metrics import reconstruction_r2

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn below 1.9 has no callbacks")

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)

X = StandardScaler().fit_transform(load_wine().data)
X.flags.writeable = False


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 4, "max_iter": 12, "random_state": 0, **parameters})


class Spy:
    """Notes what the hooks of iterations get, and acts as it is told after one of them."""

    def __init__(self, after=None, act=lambda: None):
        self.events, self.iterates = [], []
        self._after, self._act = after, act

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.events.append(("end", context.task_name))
        if context.task_name != "iteration" or fitted_estimator is None:
            return None
        assert fitted_estimator is not estimator
        assert fitted_estimator.coefs_ is not getattr(estimator, "coefs_", None), "nothing is set before the end"
        self.iterates.append((X, y, metadata, fitted_estimator))
        return self._act() if len(self.iterates) == self._after else None


def stop():
    return True


def raise_stop_iteration():
    raise StopIteration


# What a callback sees.


@each
@pytest.mark.parametrize("solver", ["auto", "kfac", "lbfgs"])
def test_every_iterate_is_a_fitted_estimator(Autoencoder, solver):
    spy = Spy()
    estimator = make(Autoencoder, solver=solver, alpha=0).set_callbacks(spy).fit(X)
    assert len(spy.iterates) == estimator.n_iter_ == len(estimator.loss_curve_)
    for _, _, _, fitted in spy.iterates:
        assert fitted.transform(X).shape == (len(X), 4)
    last = spy.iterates[-1][3]
    for value, expected in zip(last.coefs_ + last.intercepts_, estimator.coefs_ + estimator.intercepts_, strict=True):
        assert_array_equal(value, expected)


@pytest.mark.parametrize("refit", [False, True])
def test_an_iterate_has_the_results_so_far(refit):
    spy = Spy()
    estimator = make(AutoencoderTransformer, early_stopping=True)
    if refit:
        estimator.set_params(solver="lbfgs", max_iter=3).fit(X).set_params(solver="auto", max_iter=12)
    estimator.set_callbacks(spy).fit(X)
    for number, (*_, fitted) in enumerate(spy.iterates, start=1):
        assert fitted.n_iter_ == number
        assert fitted.loss_curve_ == estimator.loss_curve_[:number]
        assert fitted.loss_ == fitted.loss_curve_[-1]
        assert fitted.validation_loss_curve_ == estimator.validation_loss_curve_[:number]
        assert fitted.best_validation_loss_ == fitted.validation_loss_curve_[-1]
        assert fitted.solver_ == "varpro"
    assert fitted.n_evaluations_ <= estimator.n_evaluations_


def test_the_iterates_have_the_losses_of_the_curve():
    spy = Spy()
    estimator = make(AutoencoderTransformer, alpha=0).set_callbacks(spy).fit(X)
    losses = [-fitted.score_samples(X).mean() for _, _, _, fitted in spy.iterates]
    assert_allclose(losses, estimator.loss_curve_, rtol=1e-8)


@each
@pytest.mark.parametrize("weights", [None, np.arange(len(X)) % 3])
def test_hooks_get_the_rows_trained_on_as_data_and_as_targets(Autoencoder, weights):
    spy = Spy()
    make(Autoencoder).set_callbacks(spy).fit(X, sample_weight=weights)
    for rows, targets, metadata, _ in spy.iterates:
        assert rows is targets
        if weights is None:
            assert_array_equal(rows, X)
            assert metadata is None
        else:
            assert_array_equal(rows, X[weights > 0])
            assert_array_equal(metadata["sample_weight"], weights[weights > 0])


@each
@pytest.mark.parametrize("kind", [np.array, csr_array, pd.DataFrame], ids=["dense", "sparse", "frame"])
def test_hooks_get_repeated_rows_as_they_were_given(Autoencoder, kind):
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(X)), 3))
    data = kind(X[order])
    if kind is pd.DataFrame:
        data.columns = [f"feature {j}" for j in range(X.shape[1])]
    weights = np.arange(len(order)) % 4
    spy = Spy()
    estimator = make(Autoencoder, early_stopping=True).set_callbacks(spy).fit(data, sample_weight=weights)
    rows, _, metadata, _ = spy.iterates[0]
    assert type(rows) is type(data)
    rows = rows.toarray() if kind is csr_array else np.asarray(rows)
    of_x = (rows[:, None] == X).all(axis=2).argmax(axis=1)
    kept = np.isin(order, of_x) & (weights > 0)
    assert_array_equal(rows, X[order[kept]])
    assert_array_equal(metadata["sample_weight"], weights[kept])
    assert len(set(of_x)) == len(set(order[weights > 0])) - np.ceil(0.1 * len(set(order[weights > 0])))
    assert_allclose(estimator.mean_, np.average(rows, axis=0, weights=weights[kept]), atol=1e-12)


def test_hooks_get_x_itself_where_all_rows_are_trained_on():
    spy = Spy()
    make(AutoencoderTransformer).set_callbacks(spy).fit(X)
    assert spy.iterates[0][0] is X


def test_tasks_are_nested_and_every_one_ends():
    spy = Spy()
    make(AutoencoderTransformer, n_init=2, max_iter=3, tol=0).set_callbacks(spy).fit(X)
    iteration = [("begin", "iteration"), ("end", "iteration")]
    restart = [("begin", "restart"), *iteration * 3, ("end", "restart")]
    assert spy.events == ["setup", ("begin", "fit"), *restart * 2, ("end", "fit"), "teardown"]


def test_an_iteration_that_led_nowhere_ends_too():
    spy = Spy()
    estimator = make(AutoencoderTransformer, max_iter=500, tol=1e-2).set_callbacks(spy).fit(X)
    assert spy.events.count(("begin", "iteration")) == spy.events.count(("end", "iteration")) == estimator.n_iter_ + 1


def test_the_closed_form_is_one_iteration():
    spy = Spy()
    estimator = make(AutoencoderTransformer, activation="identity").set_callbacks(spy).fit(X)
    assert estimator.solver_ == "svd"
    ((_, _, _, fitted),) = spy.iterates
    assert_array_equal(fitted.coefs_[0], estimator.coefs_[0])


@each
def test_callbacks_change_nothing(Autoencoder):
    watched, alone = make(Autoencoder).set_callbacks(Spy()).fit(X), make(Autoencoder).fit(X)
    assert_array_equal(watched.coefs_[0], alone.coefs_[0])
    assert set(vars(watched)) - set(vars(alone)) == {"_skl_callbacks"}


# Requests to stop, and faults.


@each
@pytest.mark.parametrize("act", [stop, raise_stop_iteration])
@pytest.mark.parametrize("solver", ["auto", "kfac", "lbfgs"])
def test_a_callback_can_stop_the_solver(Autoencoder, act, solver, recwarn):
    spy = Spy(after=5, act=act)
    estimator = make(Autoencoder, tol=0, solver=solver).set_callbacks(spy).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 5
    assert_array_equal(estimator.coefs_[0], spy.iterates[4][3].coefs_[0])
    assert not [warning for warning in recwarn if warning.category is ConvergenceWarning]
    assert spy.events[-1] == "teardown"
    assert spy.events.count(("end", "iteration")) == spy.events.count(("begin", "iteration")) == 5


@pytest.mark.parametrize("n_init", [1, 2])
@pytest.mark.parametrize("hook", ["on_fit_task_begin", "on_fit_task_end"])
@pytest.mark.parametrize("task", ["fit", "restart", "iteration"])
def test_stop_iteration_in_any_hook_ends_the_fit_cleanly(n_init, hook, task):
    class Stops(Spy):
        pass

    def stop_there(self, estimator, context):
        if context.task_name == task:
            raise StopIteration

    setattr(Stops, hook, stop_there)
    estimator = make(AutoencoderTransformer, tol=0, n_init=n_init).set_callbacks(Stops()).fit(X)
    is_before_the_end = task == "iteration" or (hook == "on_fit_task_begin" and (task == "fit" or n_init > 1))
    assert estimator.n_iter_ == (1 if is_before_the_end else 12)


def test_warm_start_goes_on_where_a_callback_stopped():
    estimator = make(AutoencoderTransformer, tol=0, warm_start=True).set_callbacks(Spy(after=4, act=stop)).fit(X)
    stopped_at = estimator.loss_
    estimator.set_callbacks().fit(X)
    assert estimator.loss_curve_[0] < stopped_at
    assert estimator.n_iter_ == 12


def test_a_stop_ends_one_restart_and_not_the_others():
    spy = Spy(after=2, act=stop)
    make(AutoencoderTransformer, n_init=2, tol=0).set_callbacks(spy).fit(X)
    assert len(spy.iterates) == 2 + 12


def fail():
    raise RuntimeError("a fault in a callback")


def interrupt():
    raise KeyboardInterrupt


@each
@pytest.mark.parametrize(("act", "error"), [(fail, RuntimeError), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("before", ["unfitted", "fitted", "warm"])
def test_a_fault_in_a_callback_propagates_and_leaves_the_estimator_alone(Autoencoder, act, error, before):
    spy = Spy(after=3, act=act)
    estimator = make(Autoencoder, tol=0, warm_start=before == "warm")
    if before != "unfitted":
        estimator.fit(X[:, :5] if before == "fitted" else X[:100])
    estimator.set_callbacks(spy)
    before = dict(vars(estimator))
    with pytest.raises(error):
        estimator.fit(X)
    assert vars(estimator) == before
    assert spy.events[-1] == "teardown"


def test_a_fault_at_the_very_end_leaves_the_estimator_alone():
    class Late(Spy):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "fit":
                fail()

    estimator = make(AutoencoderTransformer).set_callbacks(Late())
    with pytest.raises(RuntimeError, match="a fault in a callback"):
        estimator.fit(X)
    assert not hasattr(estimator, "coefs_")


def test_a_warm_start_goes_on_from_a_callback_s_copy():
    """It holds out the same rows."""
    spy = Spy()
    settings = {"early_stopping": True, "warm_start": True}
    estimator = make(AutoencoderTransformer, **settings).set_callbacks(spy).fit(X)
    copied = spy.iterates[1][-1]
    assert copied._held_out_seed == estimator._held_out_seed is not None
    copied.set_callbacks().fit(X)
    assert copied._held_out_seed == estimator._held_out_seed


# scikit-learn's own.


def scores(monitor):
    """The scores by path of tasks."""
    return {row["task_id_path"]: row["r2"] for row in monitor.get_logs().data if "r2" in row}


@each
def test_scoring_monitor(Autoencoder):
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    estimator = make(Autoencoder, alpha=0).set_callbacks(monitor).fit(X)
    logged = scores(monitor)
    iterations = [logged[path] for path in sorted(logged) if len(path) == 2]
    assert len(iterations) == estimator.n_iter_
    assert iterations[-1] == logged[(0,)] == pytest.approx(estimator.score(X))
    assert iterations[0] < iterations[-1]


def test_scoring_monitor_weighs_the_rows():
    weights = np.arange(len(X)) % 3
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    estimator = make(AutoencoderTransformer).set_callbacks(monitor).fit(X, sample_weight=weights)
    assert scores(monitor)[(0,)] == pytest.approx(estimator.score(X, sample_weight=weights))


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}])
def test_scoring_monitor_of_a_frame(settings):
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    frame = pd.DataFrame(X, columns=[f"feature {j}" for j in range(X.shape[1])])
    weights = np.arange(len(X)) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(AutoencoderTransformer, **settings).set_callbacks(monitor).fit(frame, sample_weight=weights)
    assert np.isfinite(list(scores(monitor).values())).all()


def test_scoring_monitor_of_a_frame_of_sparse_columns():
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    frame = pd.get_dummies(pd.DataFrame({"a": list("pqrspqrr"), "b": list("xyzxxyyz")}), sparse=True)
    estimator = make(AutoencoderTransformer, n_components=2).set_callbacks(monitor).fit(frame)
    assert scores(monitor)[(0,)] == pytest.approx(estimator.score(frame))


def test_scoring_monitor_under_metadata_routing():
    weights = np.arange(len(X)) % 3
    with sklearn.config_context(enable_metadata_routing=True):
        monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2.set_score_request(sample_weight=True)})
        estimator = make(AutoencoderTransformer).set_callbacks(monitor).fit(X, sample_weight=weights)
    assert scores(monitor)[(0,)] == pytest.approx(estimator.score(X, sample_weight=weights))


def test_one_start_needs_no_worker():
    """What cannot be pickled, and what the hooks note, stays in this process."""
    spy = Spy()
    spy.lock = threading.Lock()
    make(AutoencoderTransformer, n_jobs=2).set_callbacks(spy).fit(X)
    assert spy.iterates


def test_scoring_monitor_inside_a_pipeline():
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    pipeline = make_pipeline(StandardScaler(), make(AutoencoderTransformer).set_callbacks(monitor)).fit(X)
    assert pipeline[-1].n_iter_ in {len(scores(monitor)) - 1}


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_scoring_monitor_inside_a_grid_search(n_jobs):
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    estimator = make(AutoencoderTransformer, max_iter=4, tol=0).set_callbacks(monitor)
    search = GridSearchCV(estimator, {"n_components": [2, 6]}, cv=2, n_jobs=n_jobs, scoring=reconstruction_r2).fit(X)
    logged = scores(monitor)
    assert len(logged) == 5 * (4 + 1)  # the refit is one of them
    assert pytest.approx(search.best_estimator_.score(X)) in logged.values()


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_progress_bar(n_jobs, capsys):
    pytest.importorskip("rich")
    bar = callback.ProgressBar(max_propagation_depth=None)
    make(SparseAutoencoder, n_init=2, n_jobs=n_jobs).set_callbacks(bar).fit(X)
    text = capsys.readouterr().out
    assert "SparseAutoencoder - fit" in text
    assert "restart #1" in text
    assert "100%" in text


def test_progress_bar_propagates_from_a_grid_search(capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(make_pipeline(StandardScaler(), make(AutoencoderTransformer)), {}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X)
    text = capsys.readouterr().out
    assert "GridSearchCV - fit" in text
    assert "AutoencoderTransformer - fit" in text.replace("\n", " ")


def test_without_callbacks_no_hook_costs_anything(monkeypatch):
    monkeypatch.setattr(callback.CallbackContext, "_from_estimator", fail)
    make(AutoencoderTransformer).fit(X)
