"""The same models in one thread, in many, and in other processes; and nobody waits for ever.

Whatever could wait runs in a thread or in a process that is given a time limit.
"""

import functools
import multiprocessing
import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, wait

import joblib
import numpy as np
import pytest
from configurations import every_module
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._rows import threads

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PATIENCE = 120
# Of a child, which should need less than a second.
CHILDS_PATIENCE = 60
N_FEATURES = 6
X = np.random.default_rng(0).uniform(size=(60, N_FEATURES))
X[:, 3:] = 0.5 * (X[:, :3] + X[:, [1, 2, 0]])
X.flags.writeable = False
METHODS_ON_X = ["transform", "reconstruct", "score_samples", "feature_errors", "encoder_jacobian", "score"]


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 2, "max_iter": 15, "random_state": 0, **parameters})


@functools.cache
def fitted(Autoencoder):
    return make(Autoencoder).fit(X)


def answers(estimator, data):
    """What all methods say of the data."""
    found = {name: getattr(estimator, name)(data) for name in METHODS_ON_X}
    return found | {"inverse_transform": estimator.inverse_transform(found["transform"])}


def assert_same_answers(found, expected, **tolerances):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if tolerances:
            assert_allclose(found[name], value, err_msg=name, **tolerances)
        else:
            assert_array_equal(found[name], value, err_msg=name)


def assert_same_model(estimator, expected, rtol=1e-6):
    for parts in ("coefs_", "intercepts_"):
        for value, other in zip(getattr(estimator, parts), getattr(expected, parts), strict=True):
            assert_allclose(value, other, rtol=rtol, atol=1e-9)
    assert estimator.loss_ == pytest.approx(expected.loss_, rel=rtol)


def limits():
    return {
        library["filepath"]: library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def disown_blas():
    """With threadpoolctl 3.8 on, the first thread to set OpenBLAS's limit may keep all others from doing so."""
    for library in ThreadpoolController().lib_controllers:
        getattr(library, "clear_controlling_thread", lambda force: None)(force=True)


@pytest.fixture
def two_blas_threads():
    """The suite holds BLAS at one; here it has two, and no thread has taken possession of it."""
    with threadpool_limits(2, user_api="blas"):
        disown_blas()
        yield
        disown_blas()


def in_flight():
    """How many fits the package believes to be running."""
    return len(threads._inside)


@pytest.fixture
def shared_rows(two_blas_threads, monkeypatch):
    """However few the rows, two threads share them, where there are libraries of two."""
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)


def all_at_once(functions):
    """Start the functions together, in threads of their own, and return their results."""
    barrier = threading.Barrier(len(functions))

    def started_together(function):
        barrier.wait(timeout=PATIENCE)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(started_together, function) for function in functions]
        _, late = wait(futures, timeout=PATIENCE)
        assert not late
        return [future.result() for future in futures]


# Other backends of joblib.

BACKENDS = ["threading", "loky", "multiprocessing"]


@pytest.fixture(scope="module", autouse=True)
def no_idle_processes():
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(params=[*BACKENDS, "multiprocessing, spawn"])
def backend(request, monkeypatch):
    """Everything that asks joblib for two jobs gets them from this backend."""
    name, *context = request.param.split(", ")
    if context:
        spawning = _spawning(joblib.pool.MemmappingPool)
        monkeypatch.setattr("joblib._parallel_backends.MemmappingPool", spawning)
    with parallel_config(backend=name), warnings.catch_warnings():
        if name == "multiprocessing":
            # Python's advice against forks beside threads; some backends leave threads behind.
            warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
        yield request.param


def _spawning(Pool):
    """A pool of joblib's that starts its processes afresh."""

    class SpawningPool(Pool):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **{**named, "context": multiprocessing.get_context("spawn")})

    return SpawningPool


def test_a_grid_is_scored_alike(backend):
    def search(n_jobs):
        grid = GridSearchCV(make(DenoisingAutoencoder), {"alpha": [1e-4, 1e-2]}, cv=2, n_jobs=n_jobs)
        return grid.fit(X)

    sequential, parallel = search(1), search(2)
    for name in ("mean_test_score", "std_test_score"):
        assert_allclose(parallel.cv_results_[name], sequential.cv_results_[name], rtol=1e-6)
    assert_same_model(parallel.best_estimator_, sequential.best_estimator_)


def test_restarts_give_the_same_model(backend):
    before = limits()
    for Autoencoder in AUTOENCODERS[:1] if "spawn" in backend else AUTOENCODERS:
        sequential = make(Autoencoder, n_init=3).fit(X)
        parallel = make(Autoencoder, n_init=3, n_jobs=2).fit(X)
        assert_same_model(parallel, sequential)
        assert parallel.n_iter_ == sequential.n_iter_
    assert limits() == before


def test_restarts_inside_a_grid_give_the_same_scores(backend):
    if "spawn" in backend:
        pytest.skip("takes long, and joblib runs the inner ones in turn there")

    def scores(n_jobs):
        estimator = make(SparseAutoencoder, n_init=2, n_jobs=n_jobs)
        return GridSearchCV(estimator, {"alpha": [1e-4, 1e-3]}, cv=2, n_jobs=n_jobs).fit(X)

    sequential, nested = scores(None), scores(2)
    assert_allclose(nested.cv_results_["mean_test_score"], sequential.cv_results_["mean_test_score"], rtol=1e-6)
    assert_same_model(nested.best_estimator_, sequential.best_estimator_)


@pytest.mark.parametrize("name", BACKENDS)
def test_data_that_joblib_hands_over_as_memory_maps(name):
    """Above `max_nbytes`, workers get them read-only."""
    scores = []
    for n_jobs in (1, 2):
        with parallel_config(backend=name, n_jobs=n_jobs, max_nbytes=100), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
            scores.append(cross_val_score(make(SparseAutoencoder, n_init=2), X.copy(), cv=2))
    assert_allclose(scores[1], scores[0], rtol=1e-6)


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_fault_in_one_of_two_restarts_ends_the_fit(fault, monkeypatch):
    """And the other one: nothing of the fit runs on, and BLAS has its threads back."""
    from skae._objective.joint import Objective

    evaluate, first = Objective.__call__, threading.Lock()
    others = []

    def failing(self, theta):
        if first.acquire(blocking=False):
            raise fault("injected")
        others.append(time.monotonic())
        time.sleep(0.01)
        return evaluate(self, theta)

    estimator, before = make(SparseAutoencoder, n_init=2, n_jobs=2, max_iter=100, tol=0), limits()
    contents = joblib.hash(vars(estimator))
    monkeypatch.setattr(Objective, "__call__", failing)
    with parallel_config(backend="threading"), pytest.raises(fault, match="injected"):
        estimator.fit(X)
    ended, fits, after = time.monotonic(), in_flight(), limits()
    time.sleep(0.2)
    assert joblib.hash(vars(estimator)) == contents
    late = [moment - ended for moment in others if moment > ended + 0.05]
    deadline = time.monotonic() + PATIENCE
    while in_flight() and time.monotonic() < deadline:
        time.sleep(0.05)  # for the sake of the other tests
    assert (late, fits, after) == ([], 0, before)


# Threads.


@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_threads_fit_estimators_at_once(solver, shared_rows):
    before = limits()
    estimators = [make(Autoencoder, solver=solver) for Autoencoder in AUTOENCODERS]
    models = all_at_once([lambda estimator=estimator: clone(estimator).fit(X) for estimator in estimators])
    assert limits() == before
    for model, estimator in zip(models, estimators, strict=True):
        assert_same_model(model, estimator.fit(X))
    assert limits() == before


@each
def test_threads_ask_one_estimator_at_once(Autoencoder, two_blas_threads):
    """All methods, each thread beginning with another; bitwise as one thread after the other."""
    estimator, data, before = fitted(Autoencoder), np.tile(X, (50, 1)), limits()
    expected, contents = answers(estimator, data), joblib.hash(vars(estimator))
    names = list(expected)

    def ask(first):
        return {
            name: getattr(estimator, name)(expected["transform"] if name == "inverse_transform" else data)
            for name in names[first:] + names[:first]
        }

    for found in all_at_once([lambda first=first: ask(first) for first in range(len(names))]):
        assert_same_answers({name: found[name] for name in names}, expected)
    assert limits() == before
    assert joblib.hash(vars(estimator)) == contents


def test_a_fitted_estimator_is_asked_while_another_one_is_fitted(shared_rows):
    """The limits of the fit change what a transform has to work with, and by rounding alone what it says."""
    estimator, before, fitting = fitted(SparseAutoencoder), limits(), threading.Event()
    expected = answers(estimator, X)

    def fit():
        for seed in range(5):
            make(SparseAutoencoder, random_state=seed).fit(X)
        fitting.set()

    def ask():
        found = [answers(estimator, X)]
        while not fitting.is_set() and len(found) < 100:
            found.append(answers(estimator, X))
        return found

    _, *found = all_at_once([fit, ask, ask])
    for one in [one for several in found for one in several]:
        assert_same_answers(one, expected, rtol=1e-9, atol=1e-12)
    assert limits() == before


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_fit_within_limits(n_threads):
    """They are as they were inside, and outside; the model is the same to rounding."""
    expected, outside = make(SparseAutoencoder).fit(X), limits()
    with threadpool_limits(n_threads):
        inside = limits()
        assert_same_model(make(SparseAutoencoder).fit(X), expected)
        assert limits() == inside
    assert limits() == outside


# Limits that are set in one thread and lifted in another.


def test_limits_are_lifted_by_the_last_thread_out_not_the_first_one_in(two_blas_threads):
    before, both_inside, one_out = limits(), threading.Barrier(2), threading.Event()
    inside = []

    def first():
        with threads.row_threads():
            both_inside.wait(timeout=PATIENCE)

    def last():
        with threads.row_threads():
            both_inside.wait(timeout=PATIENCE)
            assert one_out.wait(timeout=PATIENCE)
            inside.append(limits())

    # The threads of a pool stay alive.
    with ThreadPoolExecutor(2) as pool:
        early, late = pool.submit(first), pool.submit(last)
        early.result(timeout=PATIENCE)
        one_out.set()
        late.result(timeout=PATIENCE)
        assert set(inside[0].values()) == {1}
        assert limits() == before


def test_fits_of_different_lengths_in_a_pool_of_threads_leave_the_limits_as_they_were(two_blas_threads):
    before = limits()
    with ThreadPoolExecutor(3) as pool:
        fits = [make(SparseAutoencoder, max_iter=max_iter, tol=0).fit for max_iter in (1, 5, 20) * 6]
        for future in [pool.submit(fit, X) for fit in fits]:
            future.result(timeout=PATIENCE)
        assert limits() == before


@pytest.mark.parametrize("where", ["fit here", "fit there"])
def test_after_a_fit_every_thread_can_limit_blas(where, two_blas_threads):
    def limited():
        with threadpool_limits(1, user_api="blas"):
            return set(limits().values())

    fit = make(SparseAutoencoder, max_iter=1).fit
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        fit(X) if where == "fit here" else one.submit(fit, X).result(timeout=PATIENCE)
        assert other.submit(limited).result(timeout=PATIENCE) == {1}
        assert limited() == {1}


def test_after_a_fit_here_a_fit_in_a_thread_holds_blas_at_one(two_blas_threads):
    def held():
        with threads.row_threads():
            return set(limits().values())

    assert held() == {1}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(held).result(timeout=PATIENCE) == {1}


# Memory maps.


@each
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_only_memory_maps(Autoencoder, order, dtype, tmp_path):
    values = X.astype(dtype)
    written = np.memmap(tmp_path / "X", dtype=dtype, mode="w+", shape=X.shape, order=order)
    written[...] = values
    written.flush()
    mapped = np.memmap(tmp_path / "X", dtype=dtype, mode="r", shape=X.shape, order=order)
    tolerances = {"rtol": 1e-7, "atol": 1e-9} if dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for estimator in (make(Autoencoder, max_iter=5), make(Autoencoder, max_iter=5, solver="lbfgs", init="pca")):
        expected = clone(estimator).fit(values)
        estimator.fit(mapped)
        assert_same_answers(answers(estimator, mapped), answers(expected, values), **tolerances)
        assert_same_answers(answers(expected, mapped), answers(expected, values), rtol=1e-5, atol=1e-6)
        codes = expected.fit_transform(mapped)
        assert_allclose(codes, clone(estimator).fit_transform(values), **tolerances)
        held_out = clone(estimator).set_params(early_stopping=True, warm_start=True).fit(mapped).fit(mapped)
        assert np.isfinite(held_out.best_validation_loss_)
    assert_array_equal(mapped, values)


def test_a_fitted_estimator_that_is_memory_mapped(tmp_path):
    """As `joblib.load(..., mmap_mode="r")` brings it back."""
    for Autoencoder in AUTOENCODERS:
        expected = fitted(Autoencoder)
        joblib.dump(expected, tmp_path / "model")
        mapped = joblib.load(tmp_path / "model", mmap_mode="r")
        assert isinstance(mapped.coefs_[0], np.memmap)
        assert_same_answers(answers(mapped, X), answers(expected, X), rtol=1e-9, atol=1e-12)
        going_on = mapped.set_params(warm_start=True).fit(X)
        assert going_on.loss_ <= expected.loss_ * (1 + 1e-6)


# Forks.


def exit_code_of_fork(work):
    """Run `work` in a fork of this process; return its exit code, 0 if all was well."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*use of fork|.*fork", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(CHILDS_PATIENCE)
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(code)
    deadline = time.monotonic() + 2 * CHILDS_PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


class FitsInBackground:
    """Another thread, which fits all the time."""

    def __enter__(self):
        self._stop, self._started = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._started.wait(timeout=PATIENCE)
        return self

    def _work(self):
        while not self._stop.is_set():
            make(SparseAutoencoder, max_iter=50, tol=0).fit(X)
            self._started.set()

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join(timeout=PATIENCE)
        assert not self._thread.is_alive()


@needs_fork
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_fork_after_a_fit(solver, shared_rows):
    expected = make(SparseAutoencoder, solver=solver).fit(X)
    before = limits()

    def work():
        assert_same_model(make(SparseAutoencoder, solver=solver).fit(X), expected)
        assert limits() == before

    assert exit_code_of_fork(work) == 0


@needs_fork
def test_fork_while_another_thread_fits(two_blas_threads):
    """The child can fit, and once it has, its BLAS libraries have their threads back."""
    expected, before = make(SparseAutoencoder).fit(X), limits()

    def work():
        assert_same_model(make(SparseAutoencoder).fit(X), expected)
        assert limits() == before, "BLAS threads are not restored"

    with FitsInBackground():
        codes = [exit_code_of_fork(work) for _ in range(10)]
    assert codes == [0] * 10


def test_no_lock_of_a_class_is_held_during_a_fit():
    """functools.cached_property had one until Python 3.12, in which a forked process could wait for ever."""
    classes = [value for module in every_module() for value in vars(module).values() if isinstance(value, type)]
    held = [value for kind in classes for value in vars(kind).values() if isinstance(value, functools.cached_property)]
    assert held == []


@needs_fork
def test_fork_in_the_middle_of_a_fit(two_blas_threads):
    before = limits()

    def work():
        make(SparseAutoencoder).fit(X)
        assert limits() == before, "BLAS threads are not restored"

    inside, leave = threading.Event(), threading.Event()

    def fit():
        with threads.row_threads():
            inside.set()
            leave.wait(timeout=PATIENCE)

    thread = threading.Thread(target=fit)
    thread.start()
    try:
        assert inside.wait(timeout=PATIENCE)
        assert exit_code_of_fork(work) == 0
    finally:
        leave.set()
        thread.join(timeout=PATIENCE)
    assert limits() == before


@needs_fork
def test_fork_while_another_thread_sets_the_limits(monkeypatch):
    """The child has no such thread, so that nobody would ever open the lock that it holds."""

    parent = os.getpid()

    class SlowPool:
        filepath, n_threads = "numpy.libs/libopenblas.so", 1
        setting, go_on = threading.Event(), threading.Event()

        def get_num_threads(self):
            return self.n_threads

        def set_num_threads(self, n_threads):
            self.setting.set()
            if os.getpid() == parent:
                self.go_on.wait(timeout=2)

    pool = SlowPool()
    monkeypatch.setattr(threads, "_blas_pools", lambda: [pool])

    def work():
        make(SparseAutoencoder).fit(X)

    thread = threading.Thread(target=make(SparseAutoencoder).fit, args=[X])
    thread.start()
    try:
        assert pool.setting.wait(timeout=PATIENCE)
        assert exit_code_of_fork(work) == 0
    finally:
        pool.go_on.set()
        thread.join(timeout=PATIENCE)


@needs_fork
def test_a_pool_of_forks_beside_a_fit():
    expected = make(SparseAutoencoder).fit(X)
    with FitsInBackground(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            models = pool.map_async(make(SparseAutoencoder).fit, [X] * 4).get(timeout=CHILDS_PATIENCE)
    for model in models:
        assert_same_model(model, expected)


def test_a_pool_of_fresh_processes():
    expected = make(SparseAutoencoder).fit(X)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (model,) = pool.map_async(make(SparseAutoencoder).fit, [X]).get(timeout=PATIENCE)
    assert_same_model(model, expected)
