"""Interrupts: at the entry of any function, at any line where limits are set, and signals at any time."""

import copy
import inspect
import linecache
import signal
import sys
import threading
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import config_context

import skae
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._rows import threads
from skae.penalties import L1Sparsity

# At the entry of every Python function of the package that a fit calls.

PACKAGE = str(Path(skae.__file__).parent)
# What opens and closes the limits has tests of its own.
OWN_TESTS = {"row_threads", "_enter", "_leave"}


@contextmanager
def interrupt_at_entry(number):
    """A context in which the interrupt is at the entry of the function of the package that is called as that one."""
    calls = SimpleNamespace(n_calls=0)

    def profile(frame, event, argument):
        code = frame.f_code
        # Not in generators: an error while they are closed is Python's to report.
        skipped = code.co_name in OWN_TESTS or inspect.CO_GENERATOR & code.co_flags
        if event != "call" or skipped or not code.co_filename.startswith(PACKAGE):
            return
        calls.n_calls += 1
        if calls.n_calls == number:
            sys.setprofile(None)
            raise KeyboardInterrupt(f"injected at {code.co_qualname}")

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_interrupt_at_the_entry_of_some_functions(X, make, fit_with_some_faults):
    estimator = make(SparseAutoencoder, solver="varpro", max_iter=1)
    assert fit_with_some_faults(estimator, X, interrupt_at_entry, KeyboardInterrupt) > 50


FITS = {
    "closed form": (AutoencoderTransformer, {"activation": "identity", "solver": "svd"}),
    "varpro": (SparseAutoencoder, {"solver": "varpro", "penalties": (L1Sparsity(0.1),)}),
    "joint": (ContractiveAutoencoder, {"hidden_layer_sizes": (3,)}),
    "minibatches": (DenoisingAutoencoder, {"loss": "cross_entropy"}),
    "early stopping": (DenoisingAutoencoder, {"early_stopping": True, "validation_fraction": 0.3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
def test_interrupt_at_the_entry_of_any_function(fit, X, make, fit_with_faults, monkeypatch):
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 250)  # one step
    Autoencoder, parameters = FITS[fit]
    estimator = make(Autoencoder, max_iter=1, **parameters)
    assert fit_with_faults(estimator, X, interrupt_at_entry, KeyboardInterrupt) > 50


# Where limits are set and lifted.


@pytest.mark.parametrize("number", [1, 2])
def test_fault_while_the_limits_are_set(number, fault, X, make, pools, failing):
    setting = failing(lambda: None, fault, number)
    for pool in pools:
        pool.before_setting = setting
    with pytest.raises(fault, match="injected"):
        make(AutoencoderTransformer, solver="varpro").fit(X)
    assert [pool.n_threads for pool in pools] == [3, 2]
    assert not threads._inside


@pytest.mark.parametrize("number", [1, 2])
def test_limits_are_right_from_the_next_fit_on_after_a_fault_while_they_are_lifted(number, fault, pools, failing):
    def fail_from_now_on():
        setting = failing(lambda: None, fault, number)
        for pool in pools:
            pool.before_setting = setting

    with pytest.raises(fault, match="injected"), threads.row_threads():
        fail_from_now_on()
    assert not threads._inside
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
        if threads._inside or [pool.n_threads for pool in pools] != [3, 2]:
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
@pytest.mark.parametrize(
    ("parameters", "situation", "shares_rows"),
    [
        pytest.param({}, "fresh", True, id="shared rows"),
        pytest.param({"solver": "varpro"}, "fresh", False, id="varpro", marks=pytest.mark.slow),
        pytest.param({"solver": "lbfgs"}, "fresh", False, id="lbfgs", marks=pytest.mark.slow),
        pytest.param({}, "early stopping", False, id="early stopping", marks=pytest.mark.slow),
        pytest.param({}, "warm start", False, id="warm start", marks=pytest.mark.slow),
    ],
    indirect=["situation"],
)
def test_signal_at_any_time(
    parameters, situation, shares_rows, X, make, is_same_model, surroundings_of, interrupt_after, request
):
    """The estimator is as it was, or, if the signal came between the fit's last step and its return, fitted."""
    if shares_rows:
        request.getfixturevalue("shared_rows")
    estimator = situation(make(DenoisingAutoencoder, n_components=3, max_iter=30, tol=0, **parameters))
    surroundings, expected = surroundings_of(estimator), copy.deepcopy(estimator).fit(X)
    n_faults = 0
    for seconds in np.geomspace(1e-4, 5e-2, 20):
        attempt, finished = copy.copy(estimator), False
        own = surroundings_of(attempt)
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
    assert is_same_model(estimator.fit(X), expected)
