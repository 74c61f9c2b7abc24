"""Faults that are made to happen during a fit, and a comparison of all that a fit may change with how it was before."""

import copy
import gc
import inspect
import threading
import time
from contextlib import contextmanager
from itertools import count

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae._rows import threads


def rows():
    X = np.random.default_rng(0).uniform(size=(30, 4))
    X[:, 3] = X[:, 0] + X[:, 1]
    X /= X.max()
    X.flags.writeable = False
    return X


@pytest.fixture
def X():
    """Rows in [0, 1], (30, 4), of rank 3; read-only."""
    return rows()


# What tests are parametrised by, unless they name values of their own.


@pytest.fixture(
    params=[AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder],
    ids=lambda Autoencoder: Autoencoder.__name__,
)
def Autoencoder(request):
    return request.param


@pytest.fixture(params=["varpro", "lbfgs"])
def solver(request):
    return request.param


@pytest.fixture(params=[RuntimeError, KeyboardInterrupt], ids=["RuntimeError", "KeyboardInterrupt"])
def fault(request):
    return request.param


STOPPING = {"early_stopping": True, "validation_fraction": 0.3}
SITUATIONS = {
    "fresh": lambda estimator: estimator,
    "refit": lambda estimator: estimator.fit(rows()[::2, ::2]),
    "warm start": lambda estimator: estimator.set_params(warm_start=True).fit(rows()),
    "early stopping": lambda estimator: estimator.set_params(**STOPPING),
    "warm start with early stopping": lambda estimator: estimator.set_params(**STOPPING, warm_start=True).fit(rows()),
    "restarts": lambda estimator: estimator.set_params(n_init=2),
}


@pytest.fixture(params=SITUATIONS)
def situation(request):
    """A function that brings an estimator into the state from which it is to be fitted, and returns it."""
    return SITUATIONS[request.param]


# The surroundings of a fit.


@pytest.fixture(autouse=True)
def no_fit_in_flight():
    """What one test leaves behind does not make others fail."""
    threads._inside.clear()


@pytest.fixture(autouse=True)
def as_many_corrupted_rows_as_rows(monkeypatch):
    """One draw, which makes the fits of many faults short."""
    monkeypatch.setattr("skae._objective.noise._MIN_DRAWN_ROWS", 1)


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
            "fits in flight": len(threads._inside),
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


@pytest.fixture
def surroundings_of():
    return Surroundings


# Estimators.


def make_estimator(Autoencoder, **parameters):
    if Autoencoder is ContractiveAutoencoder and parameters.get("solver") == "varpro":
        parameters["tied_weights"] = False
    return Autoencoder(**{"n_components": 2, "max_iter": 4, "random_state": 0, **parameters})


@pytest.fixture
def make():
    """A function that makes an estimator of two units and few iterations: `make(Autoencoder, **parameters)`."""
    return make_estimator


def model(estimator):
    """The fitted attributes, apart from the parameters and what is private to scikit-learn."""
    parameters = estimator.get_params(deep=False)
    return {name: value for name, value in vars(estimator).items() if name not in parameters and "skl" not in name}


def have_same_model(estimator, other):
    return joblib.hash(model(estimator)) == joblib.hash(model(other))


@pytest.fixture
def is_same_model():
    """A function that compares two estimators' fitted attributes, bit by bit."""
    return have_same_model


# Faults.


@pytest.fixture
def corrupt_evaluations():
    """A function that changes value and gradient of those evaluations whose number, from 1, `is_changed`."""

    def corrupt(monkeypatch, change, is_changed):
        evaluate, n_calls = Objective.__call__, count(1)

        def changed(self, theta):
            result = evaluate(self, theta)
            if not is_changed(next(n_calls)):
                return result
            value, gradient = change(result.value, result.gradient)
            return result._replace(value=value, gradient=gradient)

        monkeypatch.setattr(Objective, "__call__", changed)

    return corrupt


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


@pytest.fixture
def failing():
    return Once


@pytest.fixture
def at_calls_of(monkeypatch):
    """A function that returns the `inject` of `fit_with_faults`, for faults at the calls of `owner.name`."""

    def of(owner, name, fault, after=False):
        @contextmanager
        def inject(number):
            with monkeypatch.context() as patch:
                calls = Once(inspect.getattr_static(owner, name), fault, number, after)
                patch.setattr(owner, name, calls)
                yield calls

        return inject

    return of


def at_every_call(n_calls):
    return range(1, n_calls + 1)


def at_some_calls(n_calls):
    """The first, the middle and the last one."""
    return sorted({1, (1 + n_calls) // 2, n_calls}) if n_calls else []


def fit_with_injected_faults(estimator, data, inject, fault, numbers=at_every_call):
    """Fit with a fault at one call after another, chosen by `numbers`; return how many calls a fit makes.

    `inject(number)` is a context in which the fault happens at the call of that number, or never; it gives an object
    that counts the calls, `n_calls`. After each fault all must be as it was, and a fit of a copy must give what it
    would have given without.
    """
    expected, counted = copy.deepcopy(estimator).fit(data), copy.deepcopy(estimator)
    with inject(None) as calls:
        counted.fit(data)
    surroundings = Surroundings(estimator)
    for number in numbers(calls.n_calls):
        with inject(number), pytest.raises(fault, match="injected"):
            estimator.fit(data)
        surroundings.assert_unchanged(f"after a fault at call {number}")
        assert have_same_model(copy.deepcopy(estimator).fit(data), expected), f"after a fault at call {number}"
    return calls.n_calls


@pytest.fixture
def fit_with_faults():
    """The function `fit_with_injected_faults`, at every call."""
    return fit_with_injected_faults


@pytest.fixture
def fit_with_some_faults():
    """The same at the first, the middle and the last call."""
    return lambda *arguments: fit_with_injected_faults(*arguments, numbers=at_some_calls)
