"""Faults in the middle of a fit leave nothing behind, and what a fit calls a success is one.

Faults are made to happen, one after the other, at every call of some function until a fit no longer gets that far.
"""

import copy
import gc
import inspect
import linecache
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import OptimizeResult
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

import skae
import skae._training.run
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae._rows import threads
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status
from skae._variables.centring import CentredVariables
from skae.penalties import L1Sparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
each_search = pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
each_fault = pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])

N_FEATURES = 4
X = np.random.default_rng(0).uniform(size=(30, N_FEATURES))
X[:, 3] = X[:, 0] + X[:, 1]
X /= X.max()
X.flags.writeable = False
# Enough rows for the joint search to start on parts of them.
MANY = np.random.default_rng(0).uniform(size=(1600, N_FEATURES))


def make(Autoencoder, **parameters):
    if Autoencoder is ContractiveAutoencoder and parameters.get("solver") == "varpro":
        parameters["tied_weights"] = False
    return Autoencoder(**{"n_components": 2, "max_iter": 4, "random_state": 0, **parameters})


def linear(Autoencoder):
    """An estimator that the closed form is for."""
    weak = {"contraction_weight": 1e-3} if Autoencoder is ContractiveAutoencoder else {}
    return make(Autoencoder, activation="identity", solver="svd", **weak)


# What a fit finds, and what it may start from.
SITUATIONS = {
    "fresh": lambda estimator: estimator,
    "refit": lambda estimator: estimator.fit(X[::2, ::2]),
    "warm start": lambda estimator: estimator.set_params(warm_start=True).fit(X),
    "early stopping": lambda estimator: estimator.set_params(early_stopping=True, validation_fraction=0.3),
    "warm start with early stopping": lambda estimator: estimator.set_params(
        early_stopping=True, validation_fraction=0.3, warm_start=True
    ).fit(X),
    "restarts": lambda estimator: estimator.set_params(n_init=2),
}
each_situation = pytest.mark.parametrize("situation", SITUATIONS)


class Pool:
    """A stand-in for a threadpoolctl controller: a library of some threads; it may fail to be set."""

    def __init__(self, n_threads, filepath="numpy.libs/libopenblas.so"):
        self.n_threads, self.filepath = n_threads, filepath
        self.before_setting = lambda: None

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.before_setting()
        self.n_threads = n_threads


@pytest.fixture(autouse=True)
def no_fit_in_flight():
    """What one test leaves behind does not make others fail."""
    threads._inside.clear()


@pytest.fixture(autouse=True)
def as_many_corrupted_rows_as_rows(monkeypatch):
    """Of more rows, a joint search would begin with searches on parts, where other things go wrong first."""
    monkeypatch.setattr("skae._estimators.denoising._MIN_CORRUPTED_ROWS", 1)


@pytest.fixture
def pools(monkeypatch):
    """Libraries of three and of two threads, for the package to hold at one."""
    pools = [Pool(3), Pool(2)]
    monkeypatch.setattr(threads, "_blas_pools", lambda: pools)
    return pools


@pytest.fixture
def shared_rows(pools, monkeypatch):
    """However few the rows, threads share them."""
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)


class Once:
    """A function that fails at one of its calls, counted from 1; at no call if that is None."""

    def __init__(self, function, fault, at, after=False):
        self._function, self._fault, self._at, self._after = function, fault, at, after
        self._lock = threading.Lock()
        self.n_calls = 0

    def __call__(self, *arguments, **named):
        with self._lock:
            self.n_calls += 1
            failing = self.n_calls == self._at
        if failing and not self._after:
            raise self._fault("injected")
        result = self._function(*arguments, **named)
        if failing:
            raise self._fault("injected")
        return result

    def __get__(self, instance, owner):
        return lambda *arguments, **named: self(instance, *arguments, **named)


def model(estimator):
    """The fitted attributes, apart from the parameters and what is private to scikit-learn."""
    parameters = estimator.get_params(deep=False)
    return {name: value for name, value in vars(estimator).items() if name not in parameters and "skl" not in name}


class Surroundings:
    """All that a fit may change, as it was before one: the estimator, the BLAS libraries, the threads, the RNG."""

    def __init__(self, estimator):
        self._estimator = estimator
        self._found = self._look()

    def _look(self):
        attributes = vars(self._estimator)
        return {
            "names": list(attributes),
            "objects": [id(value) for value in attributes.values()],
            "contents": joblib.hash(attributes),
            "BLAS": [pool.get_num_threads() for pool in threads._blas_pools()],
            "real BLAS": threadpool_info(),
            "in flight": in_flight(),
            "threads": set(threading.enumerate()),
        }

    def assert_unchanged(self, context=""):
        # A signal in the middle of an executor's own code leaves its threads to the garbage collector.
        deadline = time.monotonic() + 5
        while set(threading.enumerate()) - self._found["threads"] and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        found = self._look()
        for name, value in self._found.items():
            assert found[name] == value, f"{name} {context}"


def in_flight():
    """How many fits the package believes to be running."""
    return len(threads._inside)


def is_same_model(estimator, expected):
    return joblib.hash(model(estimator)) == joblib.hash(model(expected))


def assert_same_model(estimator, expected):
    assert is_same_model(estimator, expected)


def fit_with_faults(estimator, data, inject, fault, numbers=None):
    """Fit with a fault at every call that `inject(number)` counts; return how many there were.

    After each fault all must be as it was, and a fit of a copy must give what it would have given without.
    """
    expected = copy.deepcopy(estimator).fit(data)
    surroundings = Surroundings(estimator)
    for n_faults, number in enumerate(count(1) if numbers is None else numbers):
        with inject(number) as counter:
            try:
                attempt = estimator.fit(data) if counter is None else counter(lambda: estimator.fit(data))
            except fault as error:
                assert "injected" in str(error)  # noqa: PT017 - the last fit raises nothing
                del error
            else:
                assert numbers is None, "a fault was swallowed"
                assert_same_model(attempt, expected)
                return n_faults
        surroundings.assert_unchanged(f"after a fault at call {number}")
        assert_same_model(copy.deepcopy(estimator).fit(data), expected)
    return n_faults + 1


@pytest.fixture
def at_calls_of(monkeypatch):
    """Return what `fit_with_faults` needs for faults at the calls of `owner.name`."""

    def of(owner, name, fault, after=False):
        @contextmanager
        def inject(number):
            with monkeypatch.context() as patch:
                failing = Once(inspect.getattr_static(owner, name), fault, number, after)
                patch.setattr(owner, name, failing)
                yield None

        return inject

    return of


# Faults in the evaluations.


@pytest.mark.slow
@each
@each_search
@each_situation
@each_fault
def test_fault_at_an_evaluation(Autoencoder, solver, situation, fault, at_calls_of):
    estimator = SITUATIONS[situation](make(Autoencoder, solver=solver))
    assert fit_with_faults(estimator, X, at_calls_of(Objective, "__call__", fault), fault) >= 4


@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, ContractiveAutoencoder])
@pytest.mark.parametrize("situation", ["fresh", "refit", "warm start"])
@pytest.mark.parametrize("after", [False, True])
@each_fault
def test_fault_in_the_closed_form(Autoencoder, situation, after, fault, at_calls_of):
    estimator = SITUATIONS[situation](linear(Autoencoder))
    inject = at_calls_of(skae._training.run.closed_form, "solve", fault, after)
    assert fit_with_faults(estimator, X, inject, fault) == 1


@pytest.mark.slow
@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, DenoisingAutoencoder])
@each_fault
def test_fault_in_a_search_on_a_part_of_the_rows(Autoencoder, fault, at_calls_of):
    estimator = make(Autoencoder, solver="lbfgs", max_iter=60)
    sizes, evaluate = [], Objective.__call__

    def spy(objective, theta):
        sizes.append(len(objective._shares))
        return evaluate(objective, theta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "__call__", spy)
        copy.deepcopy(estimator).fit(MANY)
    n_on_parts = sizes.index(len(MANY))
    numbers = [1, n_on_parts // 2, n_on_parts, n_on_parts + 1]
    assert min(sizes) == 400
    assert fit_with_faults(estimator, MANY, at_calls_of(Objective, "__call__", fault), fault, numbers) == 4


@pytest.mark.parametrize("situation", ["early stopping", "warm start with early stopping"])
@each_search
@each_fault
def test_fault_in_the_loss_of_held_out_rows(situation, solver, fault, at_calls_of):
    estimator = SITUATIONS[situation](make(SparseAutoencoder, solver=solver))
    assert fit_with_faults(estimator, X, at_calls_of(skae._training.run, "mean_loss", fault), fault) >= 4


# Faults in the threads that rows are shared out to.

SWEEPS = [(solver, name) for solver in ("varpro", "lbfgs") for name in ("_sweep", "_sweep_first")]


@pytest.mark.slow
@pytest.mark.parametrize("Autoencoder", [SparseAutoencoder, DenoisingAutoencoder])
@pytest.mark.parametrize(("solver", "sweep"), SWEEPS)
@each_fault
def test_fault_in_a_thread_of_the_rows(Autoencoder, solver, sweep, fault, shared_rows, at_calls_of):
    estimator = make(Autoencoder, solver=solver, max_iter=2)
    n_faults = fit_with_faults(estimator, X, at_calls_of(Objective, sweep, fault), fault)
    sweeps_first = solver == "varpro" or Autoencoder is SparseAutoencoder
    assert n_faults >= 6 if sweep == "_sweep" or sweeps_first else n_faults == 0


@each_fault
def test_fault_in_two_threads_of_the_rows_at_once(fault, shared_rows, monkeypatch):
    estimator, both = make(SparseAutoencoder, solver="lbfgs"), threading.Barrier(2)
    expected, surroundings = copy.deepcopy(estimator).fit(X), Surroundings(estimator)

    def sweep(objective, deal):
        if deal is not objective._deals[2]:
            both.wait(timeout=120)
            raise fault("injected")
        return swept(objective, deal)

    swept = Objective._sweep
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "_sweep", sweep)
        with pytest.raises(fault, match="injected"):
            estimator.fit(X)
    surroundings.assert_unchanged()
    assert_same_model(estimator.fit(X), expected)


@pytest.mark.parametrize("name", ["submit", "shutdown", "__init__"])
@each_fault
def test_fault_in_the_executor_of_the_rows(name, fault, shared_rows, at_calls_of):
    """After its own work, for nothing can be done about an executor that does not shut down."""
    estimator = make(SparseAutoencoder, solver="varpro", max_iter=1)
    inject = at_calls_of(threads.ThreadPoolExecutor, name, fault, after=True)
    assert fit_with_faults(estimator, X, inject, fault) >= 2


# Faults in what users bring.


class Draw:
    """A corruption of its own kind, like what users write."""

    def __call__(self, X, rng):
        return X + rng.normal(scale=0.1, size=X.shape)


@each_situation
@each_fault
def test_fault_in_a_corruption(situation, fault, at_calls_of):
    estimator = SITUATIONS[situation](make(DenoisingAutoencoder, corruption=Draw(), n_corruptions=3))
    for after in (False, True):
        assert fit_with_faults(estimator, X, at_calls_of(Draw, "__call__", fault, after), fault) == 3


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


@pytest.mark.slow
@each
@pytest.mark.parametrize("situation", ["fresh", "refit", "warm start", "early stopping", "restarts"])
@pytest.mark.parametrize("hook", ["setup", "on_fit_task_begin", "on_fit_task_end"])
@each_fault
def test_fault_in_a_callback(Autoencoder, situation, hook, fault, at_calls_of):
    pytest.importorskip("sklearn.callback", reason="scikit-learn below 1.9 has no callbacks")
    estimator = SITUATIONS[situation](make(Autoencoder, max_iter=2).set_callbacks(Hooks()))
    n_faults = fit_with_faults(estimator, X, at_calls_of(Hooks, hook, fault), fault)
    assert n_faults == 1 if hook == "setup" else n_faults >= 3


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_a_fault_does_not_draw_from_the_seed(seed, at_calls_of):
    """Of what the estimator holds, a generator is the only thing with a content that a fit changes."""
    estimator = make(AutoencoderTransformer, random_state=seed)
    surroundings = Surroundings(estimator)
    with at_calls_of(Objective, "__call__", RuntimeError)(2), pytest.raises(RuntimeError, match="injected"):
        estimator.fit(X)
    surroundings.assert_unchanged()


# Faults anywhere: at the entry of every Python function of the package that a fit calls.

PACKAGE = str(Path(skae.__file__).parent)
# What opens and closes the limits has tests of its own.
OWN_TESTS = {"row_threads", "_enter", "_leave"}


def calling(at):
    """A context in which the fault is at the entry of the function of the package that is called as the `at`-th."""

    @contextmanager
    def inject(number):
        n_calls = 0

        def profile(frame, event, argument):
            nonlocal n_calls
            code = frame.f_code
            # Not in generators: an error while they are closed is Python's to report.
            skipped = code.co_name in OWN_TESTS or inspect.CO_GENERATOR & code.co_flags
            if event != "call" or skipped or not code.co_filename.startswith(PACKAGE):
                return
            n_calls += 1
            if n_calls == number:
                sys.setprofile(None)
                raise at(f"injected at {code.co_qualname}")

        def profiled(function):
            sys.setprofile(profile)
            try:
                return function()
            finally:
                sys.setprofile(None)

        yield profiled

    return inject


FITS = {
    "closed form": lambda: linear(AutoencoderTransformer),
    "varpro": lambda: make(SparseAutoencoder, solver="varpro", max_iter=1, penalties=(L1Sparsity(0.1),)),
    "joint": lambda: make(ContractiveAutoencoder, hidden_layer_sizes=(3,), max_iter=1),
    "early stopping": lambda: SITUATIONS["early stopping"](make(DenoisingAutoencoder, max_iter=1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
def test_interrupt_at_the_entry_of_any_function(fit):
    assert fit_with_faults(FITS[fit](), X, calling(KeyboardInterrupt), KeyboardInterrupt) > 50


# Faults where limits are set and lifted.


@pytest.mark.parametrize("number", [1, 2])
@each_fault
def test_fault_while_the_limits_are_set(number, fault, pools):
    setting = Once(lambda: None, fault, number)
    for pool in pools:
        pool.before_setting = setting
    with pytest.raises(fault, match="injected"):
        make(AutoencoderTransformer, solver="varpro").fit(X)
    assert [pool.n_threads for pool in pools] == [3, 2]
    assert in_flight() == 0


@pytest.mark.parametrize("number", [1, 2])
@each_fault
def test_limits_are_right_from_the_next_fit_on_after_a_fault_while_they_are_lifted(number, fault, pools):
    def fail_from_now_on():
        setting = Once(lambda: None, fault, number)
        for pool in pools:
            pool.before_setting = setting

    with pytest.raises(fault, match="injected"), threads.row_threads():
        fail_from_now_on()
    assert in_flight() == 0
    with threads.row_threads() as rows:
        assert [pool.n_threads for pool in pools] == [1, 1]
    assert rows.n_threads == 3
    assert [pool.n_threads for pool in pools] == [3, 2]


def interrupt_at_line(number):
    """Enter and leave `row_threads`, with an interrupt at a line of the package; return that line, or None.

    Not at the lines of a `with`, where the interpreter looks for no signals before the lock is released.
    """
    n_lines, struck = 0, None

    def trace(frame, event, argument):
        nonlocal n_lines, struck
        if frame.f_code.co_filename != threads.__file__:
            return None
        if event == "line" and "with" not in linecache.getline(threads.__file__, frame.f_lineno):
            n_lines += 1
            if n_lines == number:
                sys.settrace(None)
                struck = frame.f_code.co_name, frame.f_lineno
                raise KeyboardInterrupt
        return trace

    inside = False
    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        with threads.row_threads():
            inside = True
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(previous)
    return struck, inside


def test_interrupt_at_any_line_on_the_way_in(pools, monkeypatch):
    left_behind = []
    for number in count(1):
        threads._inside.clear()
        monkeypatch.setattr(threads, "_lock", threading.Lock())
        pools[0].n_threads, pools[1].n_threads = 3, 2
        struck, inside = interrupt_at_line(number)
        if inside:
            break
        if in_flight() or [pool.n_threads for pool in pools] != [3, 2]:
            left_behind.append(struck)
    threads._inside.clear()
    assert number > 5
    assert left_behind == []


# Signals.


@pytest.fixture
def interrupt_after():
    """A function after which the process is interrupted, as by Ctrl-C, so many seconds later; 0: not any more."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        pytest.skip("no signals here")

    def interrupt(number, frame):
        raise KeyboardInterrupt("injected")

    before = signal.signal(signal.SIGALRM, interrupt)
    # scikit-learn validates no parameters within a fit, and an interrupt in its own cleaning up leaves it so.
    with config_context():
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# A signal that arrives in a destructor or in the garbage collector's callbacks is dropped there.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["varpro", "lbfgs", "early stopping", "shared rows", "warm start"])
def test_signal_at_any_time(how, interrupt_after, request):
    """The estimator is as it was, or, if the signal came between the fit's last step and its return, fitted."""
    if how == "shared rows":
        request.getfixturevalue("shared_rows")
    solver = how if how in ("varpro", "lbfgs") else "auto"
    estimator = make(DenoisingAutoencoder, solver=solver, n_components=3, max_iter=30, tol=0)
    if how in SITUATIONS:
        estimator = SITUATIONS[how](estimator)
    surroundings, expected = Surroundings(estimator), copy.deepcopy(estimator).fit(X)
    n_faults = 0
    for seconds in np.geomspace(1e-4, 5e-2, 20):
        attempt, finished = copy.copy(estimator), False
        own = Surroundings(attempt)
        try:
            interrupt_after(seconds)
            attempt.fit(X)
            finished = True
            interrupt_after(0)
        except KeyboardInterrupt:
            n_faults += not finished
        if not finished and not is_same_model(attempt, expected):
            own.assert_unchanged(f"after an interrupt after {seconds} s")
        surroundings.assert_unchanged(f"after an interrupt after {seconds} s")
    assert n_faults >= 3
    assert_same_model(estimator.fit(X), expected)


# No false success: an objective that is not finite.

NOT_FINITE = {
    "infinite value": lambda value, gradient: (np.inf, gradient),
    "NaN value": lambda value, gradient: (np.nan, gradient),
    "minus infinity": lambda value, gradient: (-np.inf, gradient),
    "NaN gradient": lambda value, gradient: (value, np.full_like(gradient, np.nan)),
    "one infinite slope": lambda value, gradient: (value, np.where(np.arange(len(gradient)) == 0, np.inf, gradient)),
}


def corrupt_evaluations(monkeypatch, change, is_changed):
    """Change value and gradient of the evaluations whose number, from 1, is to be changed."""
    evaluate, n_calls = Objective.__call__, count(1)

    def changed(self, theta):
        result = evaluate(self, theta)
        return change(*result) if is_changed(next(n_calls)) else result

    monkeypatch.setattr(Objective, "__call__", changed)


def independent_loss(estimator, data):
    """J of an AutoencoderTransformer with logistic code and squared error, from its public attributes."""
    (W, V), (b, c) = estimator.coefs_, estimator.intercepts_
    reconstructed = 1 / (1 + np.exp(-(data @ W + b))) @ V + c
    error = 0.5 * ((reconstructed - data) ** 2).sum(axis=1).mean()
    return error + 0.5 * (estimator.alpha_ @ [(W**2).sum(), (V**2).sum()])


@each_search
@pytest.mark.parametrize("kind", NOT_FINITE)
def test_one_evaluation_that_is_not_finite_is_stepped_back_from(solver, kind, monkeypatch):
    for number in range(2, 12):
        with monkeypatch.context() as patch:
            corrupt_evaluations(patch, NOT_FINITE[kind], lambda call, number=number: call == number)
            estimator = make(AutoencoderTransformer, solver=solver, max_iter=20).fit(X)
        assert estimator.loss_ == pytest.approx(independent_loss(estimator, X), rel=1e-9)
        assert np.all(np.diff(estimator.loss_curve_) <= 0)
        assert estimator.loss_ < 0.9 * estimator.loss_curve_[0]


@each
@each_search
@pytest.mark.parametrize("kind", NOT_FINITE)
def test_an_objective_that_is_finite_no_more_ends_in_a_warning_or_an_error(Autoencoder, solver, kind, monkeypatch):
    estimator = make(Autoencoder, solver=solver, max_iter=50, tol=0)
    with monkeypatch.context() as patch:
        corrupt_evaluations(patch, NOT_FINITE[kind], lambda call: True)
        with pytest.raises(ValueError, match="not finite at the start"):
            estimator.fit(X)
    for number in range(2, 9):
        with monkeypatch.context() as patch:
            corrupt_evaluations(patch, NOT_FINITE[kind], lambda call, number=number: call >= number)
            with pytest.warns(ConvergenceWarning, match="line search|max_fun"):
                estimator.fit(X)
        assert all(np.isfinite(part).all() for part in [*estimator.coefs_, *estimator.intercepts_])
        assert estimator.loss_ == estimator.loss_curve_[-1]


class Beyond:
    """A function that is finite on one side alone of what would be on the way to its minimum."""

    reference = 1.0

    def __init__(self, function, is_beyond, elsewhere):
        self._function, self._is_beyond, self._elsewhere = function, is_beyond, elsewhere

    def __call__(self, x):
        value, gradient = self._function(x)
        return (self._elsewhere, np.full_like(gradient, np.nan)) if self._is_beyond(x) else (value, gradient)


@pytest.mark.parametrize("elsewhere", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("seed", range(5))
def test_a_minimum_beyond_a_wall_is_not_said_to_be_reached(seed, elsewhere):
    """The search ends on the near side, with the value that the function has there, and does not call it a success."""
    rng = np.random.default_rng(seed)
    factors = 10 ** rng.uniform(-2, 2, size=5)
    start = rng.uniform(1, 3, size=5)
    edge = rng.uniform(0.1, 0.9) * start.sum()
    function = Beyond(lambda x: (0.5 * factors @ x**2, factors * x), lambda x: x.sum() < edge, elsewhere)
    result = LBFGS(100, 1000, 1e-8, 10, 10, np.finfo(float).eps).minimize(function, start)
    value, gradient = function(result.x)
    assert np.isfinite(value)
    assert result.fun == value
    assert result.gradient_norm == np.abs(gradient).max()
    assert result.status is Status.LINE_SEARCH


# A gradient that does not fit the value, and objectives that do not move.

RISING = count()
WRONG = {
    "opposite gradient": lambda value, gradient: (value, -gradient),
    "constant value": lambda value, gradient: (1.0, gradient),
    "gradient of something else": lambda value, gradient: (value, -np.abs(gradient) - 1.0),
    "value that only rises": lambda value, gradient: (float(next(RISING)), gradient),
}


@each
@each_search
@pytest.mark.parametrize("kind", WRONG)
def test_a_gradient_that_does_not_fit_the_value_is_no_success(Autoencoder, solver, kind, monkeypatch):
    if (kind, solver, Autoencoder) == ("opposite gradient", "varpro", AutoencoderTransformer):
        pytest.skip("a step small enough to change the value by its rounding alone is taken for the last one")
    corrupt_evaluations(monkeypatch, WRONG[kind], lambda call: True)
    with pytest.warns(ConvergenceWarning, match="stopped before it converged"):
        make(Autoencoder, solver=solver, max_iter=200).fit(X)


@pytest.mark.parametrize("early_stopping", [False, True])
@each_search
@pytest.mark.parametrize("n_iterations", [0, 3])
@pytest.mark.parametrize(
    ("where", "value"),
    [("fun", np.inf), ("fun", -np.inf), ("fun", np.nan), ("x", np.nan), ("x", np.inf), ("jac", np.nan)],
)
def test_what_is_not_finite_is_no_success_whatever_scipy_says(
    early_stopping, solver, n_iterations, where, value, monkeypatch
):
    """With early stopping the result is an iterate, which was finite."""

    def minimize(function, x0, *, callback, **options):
        fun, jac = function(x0)
        for _ in range(n_iterations):
            callback(None)
        result = {"fun": fun, "x": x0.copy(), "jac": jac}
        result[where] = value if where == "fun" else np.where(np.arange(len(x0)) == 1, value, result[where])
        return OptimizeResult(**result, status=0, success=True, nit=n_iterations, nfev=1, message="CONVERGENCE")

    monkeypatch.setattr("skae._solvers.lbfgs.minimize", minimize)
    estimator = make(AutoencoderTransformer, solver=solver, early_stopping=early_stopping, validation_fraction=0.3)
    if early_stopping:
        assert np.isfinite(estimator.fit(X).transform(X)).all()
        assert np.isfinite(estimator.loss_)
        return
    surroundings = Surroundings(estimator)
    with pytest.raises(ValueError, match="not finite"):
        estimator.fit(X)
    surroundings.assert_unchanged()


# What converged has: the gradient, recomputed from values of the definition, is within the tolerance.


def definition(estimator, weights, intercepts):
    """J of the logistic autoencoders with squared error that see X as it is, from the formulas of the model."""
    (W, V), (b, c) = weights, intercepts
    H = 1 / (1 + np.exp(-(X @ W + b)))
    J = 0.5 * ((H @ V + c - X) ** 2).sum(axis=1).mean()
    J += 0.5 * sum(alpha * (part**2).sum() for alpha, part in zip(estimator.alpha_, (W, V), strict=False))
    if isinstance(estimator, SparseAutoencoder):
        rho, r = estimator.sparsity_target, H.mean(axis=0)
        J += estimator.sparsity_weight_ * (rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r))).sum()
    if isinstance(estimator, ContractiveAutoencoder):
        J += estimator.contraction_weight_ * ((H * (1 - H)) ** 2 @ (W**2).sum(axis=0)).mean()
    return J


@pytest.mark.parametrize(
    ("Autoencoder", "strength"),
    [
        (AutoencoderTransformer, {}),
        (SparseAutoencoder, {"sparsity_weight": 0.1}),
        (ContractiveAutoencoder, {"contraction_weight": 0.1}),
    ],
)
@each_search
def test_the_gradient_of_what_converged_is_small(Autoencoder, strength, solver, monkeypatch):
    minimize, seen = LBFGS.minimize, []

    def spy(self, objective, theta0, callback=None):
        seen.append((objective, minimize(self, objective, theta0, callback)))
        return seen[-1][1]

    monkeypatch.setattr(LBFGS, "minimize", spy)
    estimator = make(Autoencoder, solver=solver, max_iter=3000, tol=1e-10, alpha=1e-3, **strength).fit(X)
    objective, result = seen[-1]
    assert result.status in (Status.CONVERGED, Status.PRECISION)

    def J(theta):
        weights, intercepts = objective.parameters(theta)
        offset = objective._offset
        return definition(estimator, weights, [intercepts[0] - offset @ weights[0], *intercepts[1:]])

    assert J(result.x) == pytest.approx(estimator.loss_, rel=1e-9)
    steps = 1e-4 * np.eye(len(result.x))
    gradient = np.array([J(result.x + step) - J(result.x - step) for step in steps]) / 2e-4 / objective.reference
    assert np.abs(gradient).max() <= 1e-4
    assert_allclose(np.abs(gradient).max(), result.gradient_norm, rtol=0.01, atol=1e-7)


@each
@each_search
@pytest.mark.parametrize("cap", [{"max_iter": 2}, {"max_fun": 2, "max_iter": 100}])
def test_a_fit_that_ends_at_a_cap_says_so(Autoencoder, solver, cap):
    with pytest.warns(ConvergenceWarning, match=next(iter(cap))):
        make(Autoencoder, solver=solver, tol=0, **cap).fit(X)


# A code that says nothing.

TRIVIAL = {
    "tiny data": (1e-6, {"alpha": 1e-4}),
    "huge weight decay": (1, {"alpha": 1e6}),
    "huge L1 penalty on relu units": (1, {"activation": "relu", "penalties": (L1Sparsity(1e6),)}),
    "huge L1 penalty on identity units": (1, {"activation": "identity", "penalties": (L1Sparsity(1e6),)}),
}
TRIVIAL_FITS = [
    (Autoencoder, kind)
    for Autoencoder in AUTOENCODERS
    for kind in TRIVIAL
    if not (Autoencoder is SparseAutoencoder and "L1" in kind)  # its code is logistic
]


def assert_warns_of_a_trivial_code(estimator, data):
    with pytest.warns(UserWarning, match="learned next to nothing"):
        estimator.fit(data)
    assert estimator.score(data) < 0.01


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
@pytest.mark.parametrize(("Autoencoder", "kind"), TRIVIAL_FITS)
def test_penalties_that_leave_nothing_of_the_code(Autoencoder, kind, solver):
    factor, parameters = TRIVIAL[kind]
    assert_warns_of_a_trivial_code(make(Autoencoder, solver=solver, max_iter=500, **parameters), factor * X)


@pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e-6), (np.float64, 1e-6), (np.float64, 1e-4)])
@pytest.mark.parametrize("n_components", [1, 3, 8])
def test_tiny_data_in_every_size_of_code(Autoencoder, dtype, factor, n_components):
    """Weight decay costs more than the best reconstruction gains: a total variance of 1e-8 or less, alpha 1e-4."""
    estimator = Autoencoder(n_components, alpha=1e-4, random_state=0, max_iter=1000)
    assert_warns_of_a_trivial_code(estimator, (factor * X).astype(dtype))


DEAD = [("relu", -1e3), ("logistic", -1e3), ("logistic", 1e3), ("tanh", 1e3), ("softplus", -1e4)]


@pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
@pytest.mark.parametrize(("activation", "intercept"), DEAD)
def test_units_that_start_dead_or_saturated(activation, intercept, solver, monkeypatch):
    """No gradient leads away from there."""
    start = CentredVariables.start

    def saturated(self, weights, *arguments):
        theta = start(self, weights, *arguments)
        _, intercepts = self.layout.views(theta)
        intercepts[0][...] = intercept
        return theta

    monkeypatch.setattr(CentredVariables, "start", saturated)
    estimator = make(AutoencoderTransformer, activation=activation, solver=solver, alpha=0, max_iter=200)
    assert_warns_of_a_trivial_code(estimator, X)


def test_no_warning_where_the_code_says_something():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for Autoencoder in AUTOENCODERS:
            clone(make(Autoencoder, max_iter=2000)).fit(X)
