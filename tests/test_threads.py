"""SciPy's BLAS threads are held at one during a fit, and only then."""

from threading import Barrier, Thread

import numpy as np
import pytest

from skae import AutoencoderTransformer, threads
from skae.objective import Objective


class Pool:
    """A stand-in for a threadpoolctl controller, which remembers what it was set to."""

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.history = []

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.n_threads = n_threads
        self.history.append(n_threads)


@pytest.fixture
def pool(monkeypatch):
    pool = Pool(3)
    monkeypatch.setattr(threads, "_scipy_pools", lambda: [pool])
    return pool


def test_limit_is_set_and_lifted(pool):
    with threads.one_scipy_thread():
        assert pool.n_threads == 1
    assert pool.history == [1, 3]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_limit_is_lifted_after_a_fault(pool, fault):
    with pytest.raises(fault), threads.one_scipy_thread():
        raise fault
    assert pool.history == [1, 3]


def test_only_the_last_of_nested_fits_lifts_the_limit(pool):
    with threads.one_scipy_thread():
        with threads.one_scipy_thread():
            pass
        assert pool.n_threads == 1
    assert pool.history == [1, 3]


def test_overlapping_fits_in_threads(pool):
    both_inside, one_out = Barrier(2), Barrier(2)
    seen = []

    def leave_first():
        with threads.one_scipy_thread():
            both_inside.wait()
        one_out.wait()

    def leave_last():
        with threads.one_scipy_thread():
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


def test_a_fit_holds_the_limit_at_every_evaluation(pool, monkeypatch):
    seen = []
    original = Objective.__call__

    def spy(self, theta):
        seen.append(pool.n_threads)
        return original(self, theta)

    monkeypatch.setattr(Objective, "__call__", spy)
    AutoencoderTransformer(2, max_iter=3).fit(np.random.default_rng(0).uniform(size=(20, 5)))
    assert set(seen) == {1}
    assert pool.n_threads == 3


def test_pools_are_scipys_alone():
    for pool in threads._scipy_pools():
        assert "scipy" in pool.filepath
        assert "numpy" not in pool.filepath
