"""What the benchmarks share: data, the header, tables, and medians of interleaved runs."""

import argparse
import os
import platform
import time
import warnings
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController, threadpool_info

from skae._solvers.lbfgs import LBFGS

# OpenBLAS's threads spin for some tens of milliseconds after a product, on the cores that the next contender needs.
_SETTLE_SECONDS = 0.1

DATA = "../shared/data/mnist.npz"


def parser(description):
    """Return an ArgumentParser that knows `--data`."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--data",
        default=DATA,
        help="an .npz file with X_train in 0 ... 255, or 'digits': scikit-learn's load_digits (default: %(default)s)",
    )
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    return result


def load(path, rows, dtype=np.float32):
    """Return so many rows in [0, 1], in C order; the rows are repeated if the data has fewer."""
    X, largest = (load_digits().data, 16) if path == "digits" else (np.load(path)["X_train"], 255)
    X = X.reshape(len(X), -1)
    if rows > len(X):
        X = np.tile(X, (-(-rows // len(X)), 1))
    return np.ascontiguousarray((X[:rows] / largest).astype(dtype))


def print_header(title, *packages):
    """Print the title and the environment: the machine, the versions, the libraries and their threads."""
    names = ["skae", "scikit-learn", "numpy", "scipy", *packages]
    versions = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in names)]
    pools = [
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads ({Path(pool['filepath']).name})"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    print(f"{title}\n")
    print(f"{_cpu()}, {os.cpu_count()} cores, {platform.system()}. {', '.join(versions)}. BLAS: {'; '.join(pools)}.\n")


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_columns(*names):
    print_row(*names)
    print_row(*["---"] * len(names))


def print_target(what, values, limit):
    """Print whether all values, a dict by case, are at most the limit."""
    missed = {case: value for case, value in values.items() if not value <= limit}
    worst = max(values, key=values.get)
    verdict = f"missed in {len(missed)} of {len(values)} cases" if missed else f"met in all {len(values)} cases"
    print(f"{what}: target <= {limit:g}, {verdict}; the largest is {values[worst]:.2f} ({worst}).")
    for case, value in missed.items():
        print(f"  missed: {case}: {value:.2f}")


def settle():
    """Wait until the threads of whatever ran last sleep."""
    time.sleep(_SETTLE_SECONDS)


def seconds_of(function, at_least=0.0):
    """Return the mean seconds a call of as many calls as fill `at_least` seconds, one at least."""
    start, n_calls, elapsed = time.perf_counter(), 0, 0.0
    while not n_calls or elapsed < at_least:
        function()
        n_calls += 1
        elapsed = time.perf_counter() - start
    return elapsed / n_calls


def interleaved(functions, repeats, within=None, at_least=0.0):
    """Return the median seconds a call of each of the functions, a dict, which take turns.

    A first, untimed turn warms up. A turn is as many calls as fill `at_least` seconds. `within`, a dict too, holds
    functions that give the context in which a function is called; entering it is not timed.
    """
    seconds = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            settle()
            with (within or {}).get(name, nullcontext)():
                elapsed = seconds_of(function, at_least if turn else 0.0)
            if turn:
                seconds[name].append(elapsed)
    return {name: median(times) for name, times in seconds.items()}


@contextmanager
def blas_threads(n_threads):
    """Let the BLAS libraries use so many threads each."""
    pools = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [pool.get_num_threads() for pool in pools]
    try:
        for pool in pools:
            pool.set_num_threads(n_threads)
        yield
    finally:
        for pool, limit in zip(pools, before, strict=True):
            pool.set_num_threads(limit)


@contextmanager
def _search_as(replacement):
    """Let fits search by `replacement(minimize, objective, theta0, ...)`, where `minimize` is their own search."""
    own = LBFGS.minimize

    def minimize(self, objective, theta0, *args, **options):
        return replacement(lambda function, start: own(self, function, start, *args, **options), objective, theta0)

    with mock.patch.object(LBFGS, "minimize", minimize):
        yield


def inside_fit(estimator, X, measure):
    """Fit, and return what `measure(objective, theta)` gives where the search ended, with the fit's own threads."""
    results = []

    def search(minimize, objective, theta0):
        result = minimize(objective, theta0)
        results.append(measure(objective, result.theta))
        return result

    with _search_as(search):
        estimator.fit(X)
    return results[-1]


def fit_and_evaluation_seconds(estimator, X):
    """Return the seconds of a fit and those that its evaluations took together."""
    evaluations = []

    class Timed:
        def __init__(self, objective):
            self._objective = objective

        def __getattr__(self, name):
            return getattr(self._objective, name)

        def __call__(self, theta):
            start = time.perf_counter()
            result = self._objective(theta)
            evaluations.append(time.perf_counter() - start)
            return result

    with _search_as(lambda minimize, objective, theta0: minimize(Timed(objective), theta0)):
        settle()
        total = seconds_of(lambda: estimator.fit(X))
    return total, sum(evaluations)
