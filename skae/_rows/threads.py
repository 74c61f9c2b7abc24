"""Threads over blocks of rows, with the BLAS libraries held at one thread each while they run.

The wheels of NumPy and SciPy each bring an OpenBLAS with threads that spin while they wait. L-BFGS-B calls SciPy's
for its vectors, the objective NumPy's for its products, and the two fight over the cores, as they do with any other
busy process. A fit gives the cores blocks of rows instead, elementwise work included, and its threads sleep while
they wait.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
import scipy
from threadpoolctl import ThreadpoolController

_lock = Lock()
# One token a fit in flight, and the limits before the first of them. Both are cleared when the limits are restored.
_inside: set = set()
_limits_before: list = []


class RowThreads:
    """A map over the parts of a sum that runs on some threads, and keeps their order.

    Parameters
    ----------
    n_threads : int
        The parts to cut a sum into.

    executor : concurrent.futures.Executor, default=None
        Runs the parts; None: the calling thread does.
    """

    def __init__(self, n_threads, executor=None):
        self.n_threads = n_threads
        self._executor = executor

    def map(self, function, parts):
        if self._executor is None or len(parts) == 1:
            return map(function, parts)
        return self._executor.map(function, parts)

    def total(self, vectors):
        """Return the sum of flat vectors, in their order, whose entries are shared out."""
        result = vectors[0].copy()
        edges = np.linspace(0, len(result), min(self.n_threads, len(vectors)) + 1, dtype=int)

        def add(part):
            with np.errstate(over="ignore", invalid="ignore"):
                for vector in vectors[1:]:
                    result[part] += vector[part]

        list(self.map(add, [slice(*edge) for edge in pairwise(edges)]))
        return result

    def product(self, A, B):
        """Return A B, whose columns are shared out."""
        result = np.empty((len(A), B.shape[1]), dtype=np.result_type(A, B))
        edges = np.linspace(0, B.shape[1], self.n_threads + 1, dtype=int)
        columns = [slice(*edge) for edge in pairwise(edges)]

        def multiply(part):
            with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
                np.matmul(A, B[:, part], out=result[:, part])

        list(self.map(multiply, columns))
        return result


# The calling thread alone.
SERIAL = RowThreads(1)


@contextmanager
def row_threads(n_parts=None, at_most=None, n_threads=None):
    """Hold BLAS at one thread, and yield RowThreads.

    Fits may overlap: the first one in sets the limits, the last one out lifts them.

    Parameters
    ----------
    n_parts : int, default=None
        Number of parts of a sum, if not one a thread. The same parts give the same sum, to the last bit.

    at_most : int, default=None
        Upper bound on the threads, for callers that run several fits at once.

    n_threads : int, default=None
        Number of threads; None: as many as NumPy's products would have used.
    """
    token = object()
    try:
        of_products = _enter(token)
        n_threads = n_threads or of_products
        if at_most is not None:
            n_threads = min(n_threads, at_most)
        if n_threads == 1:
            yield RowThreads(n_parts or 1)
        else:
            with ThreadPoolExecutor(n_threads) as executor:
                yield RowThreads(n_parts or n_threads, executor)
    finally:
        _leave(token)


@cache
def _blas_pools():
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _scipy_homes():
    """Where SciPy's wheels put the libraries that they bring for themselves."""
    package = Path(scipy.__file__).resolve().parent
    return {package.parent / "scipy.libs", package / ".dylibs"}


def _set_limit(pool, n_threads):
    # From threadpoolctl 3.8 on, a library heeds the first thread that sets its limit and no other, until told to.
    disown = getattr(pool, "clear_controlling_thread", lambda force: None)
    disown(force=True)
    pool.set_num_threads(n_threads)
    disown(force=True)


def _enter(token):
    """Count a fit in, and return how many threads NumPy's products would have used.

    Whatever interrupts it, `_leave` puts right: a token is counted out once, or not at all.
    """
    with _lock:
        first = not _inside
        _inside.add(token)
        if first:
            if not _limits_before:
                _limits_before[:] = [(pool, pool.get_num_threads()) for pool in _blas_pools()]
            for pool, _ in _limits_before:
                _set_limit(pool, 1)
        homes = _scipy_homes()
        numpys = [limit for pool, limit in _limits_before if Path(pool.filepath).resolve().parent not in homes]
        return max(numpys, default=1)


def _leave(token):
    """Count a fit out; an interrupt waits until that is done."""
    try:
        _count_out(token)
    except BaseException:
        _count_out(token)
        raise


def _count_out(token):
    with _lock:
        _inside.discard(token)
        if not _inside:
            _restore()


def _restore():
    for pool, limit in _limits_before:
        _set_limit(pool, limit)
    _limits_before.clear()


def _after_fork_in_child():
    """No fit is in flight here: the threads that ran them are the parent's."""
    _inside.clear()
    _restore()
    _lock.release()


if hasattr(os, "register_at_fork"):
    # A child that is forked while another thread holds the lock would wait for it for ever.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork_in_child)
