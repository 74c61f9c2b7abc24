"""BLAS is held at one thread during a fit, and only then; rows are shared out to threads instead."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread, get_ident

import numpy as np
import pytest
from joblib import Parallel, cpu_count, delayed, parallel_config

from skae import AutoencoderTransformer, SparseAutoencoder
from skae._objective.joint import Objective
from skae._rows import threads


class Pool:
    """A stand-in for a threadpoolctl controller, which remembers what it was set to."""

    def __init__(self, n_threads, filepath="numpy.libs/libopenblas.so"):
        self.n_threads = n_threads
        self.filepath = filepath
        self.history = []

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.n_threads = n_threads
        self.history.append(n_threads)


@pytest.fixture
def pool(monkeypatch):
    pool = Pool(3)
    monkeypatch.setattr(threads, "_blas_pools", lambda: [pool])
    return pool


def test_limit_is_set_and_lifted(pool):
    with threads.row_threads():
        assert pool.n_threads == 1
    assert pool.history == [1, 3]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_limit_is_lifted_after_a_fault(pool, fault):
    with pytest.raises(fault), threads.row_threads():
        raise fault
    assert pool.history == [1, 3]


def test_only_the_last_of_nested_fits_lifts_the_limit(pool):
    with threads.row_threads() as outer:
        with threads.row_threads() as inner:
            pass
        assert pool.n_threads == 1
    assert pool.history == [1, 3]
    assert outer.n_threads == inner.n_threads == 3


def test_overlapping_fits_in_threads(pool):
    both_inside, one_out = Barrier(2), Barrier(2)
    seen = []

    def leave_first():
        with threads.row_threads():
            both_inside.wait()
        one_out.wait()

    def leave_last():
        with threads.row_threads():
            both_inside.wait()
            one_out.wait()
            seen.append(pool.n_threads)

    workers = [Thread(target=target) for target in (leave_first, leave_last)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == [1]
    assert pool.history == [1, 3]


def test_the_number_of_threads_is_that_of_numpys_pool(monkeypatch):
    scipys = Pool(7, filepath=next(iter(threads._scipy_homes())) / "libopenblas.so")
    numpys = Pool(2)
    monkeypatch.setattr(threads, "_blas_pools", lambda: [scipys, numpys])
    with threads.row_threads() as rows:
        assert rows.n_threads == 2
        assert scipys.n_threads == numpys.n_threads == 1
    assert (scipys.n_threads, numpys.n_threads) == (7, 2)


def test_a_number_that_is_asked_for_holds_the_limit_as_well(pool):
    with threads.row_threads(n_threads=5) as rows:
        assert (rows.n_threads, pool.n_threads) == (5, 1)
    assert pool.n_threads == 3


def test_processes_of_a_grid_share_the_cores(monkeypatch):
    """joblib tells them how many threads each may have; a number in the environment would tell them otherwise."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def there():
        with threads.row_threads() as rows:
            return rows.n_threads

    with parallel_config("loky", n_jobs=2):
        counts = Parallel()(delayed(there)() for _ in range(2))
    assert sum(counts) <= max(2, cpu_count())


def test_without_a_known_blas_there_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "_blas_pools", list)
    with threads.row_threads() as rows:
        assert rows.n_threads == 1


def test_map_keeps_the_order_and_uses_threads():
    with ThreadPoolExecutor(2) as executor:
        rows = threads.RowThreads(2, executor)
        both = Barrier(2)

        def work(part):
            both.wait(timeout=120)
            return part, get_ident()

        (first, thread_1), (second, thread_2) = rows.map(work, ["a", "b"])
    assert (first, second) == ("a", "b")
    assert thread_1 != thread_2


@pytest.mark.parametrize("fault", [None, KeyboardInterrupt])
def test_a_fit_holds_the_limit_at_every_evaluation(pool, monkeypatch, fault):
    seen = []
    evaluate = Objective.__call__

    def spy(self, theta):
        seen.append(pool.n_threads)
        if fault and len(seen) == 3:
            raise fault
        return evaluate(self, theta)

    monkeypatch.setattr(Objective, "__call__", spy)
    X = np.random.default_rng(0).uniform(size=(20, 5))
    if fault:
        with pytest.raises(fault):
            AutoencoderTransformer(2, max_iter=9).fit(X)
    else:
        AutoencoderTransformer(2, max_iter=9).fit(X)
    assert set(seen) == {1}
    assert pool.n_threads == 3


def test_an_interrupt_while_the_limit_is_lifted_waits_until_it_is(pool, monkeypatch):
    set_limit = threads._set_limit

    def interrupted_once(pool, n_threads):
        if n_threads == 3:
            monkeypatch.setattr(threads, "_set_limit", set_limit)
            raise KeyboardInterrupt
        set_limit(pool, n_threads)

    monkeypatch.setattr(threads, "_set_limit", interrupted_once)
    with pytest.raises(KeyboardInterrupt), threads.row_threads():
        pass
    assert pool.n_threads == 3
    with threads.row_threads():
        assert pool.n_threads == 1
    assert pool.n_threads == 3


def test_an_error_in_a_worker_reaches_the_caller(pool, monkeypatch):
    def fail(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr("skae._objective.joint.backward", fail)
    with pytest.raises(MemoryError, match="no room"):
        AutoencoderTransformer(20).fit(np.random.default_rng(0).uniform(size=(2000, 40)))
    assert pool.n_threads == 3


def test_threads_change_a_fit_by_rounding_alone(pool, digits):
    def fit(n_threads):
        pool.n_threads = n_threads
        return SparseAutoencoder(20, max_iter=5, random_state=0).fit(digits)

    single, shared, again = fit(1), fit(3), fit(3)
    np.testing.assert_allclose(shared.loss_curve_, single.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(shared.transform(digits), single.transform(digits), rtol=1e-6)
    assert shared.loss_curve_ != single.loss_curve_  # they did add up in another order
    np.testing.assert_array_equal(again.coefs_[0], shared.coefs_[0])
