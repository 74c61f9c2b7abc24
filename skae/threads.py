"""Threads over blocks of rows, with the BLAS libraries held at one thread each while they run.

The wheels of NumPy and SciPy each bring an OpenBLAS with threads that spin while they wait. L-BFGS-B calls SciPy's
for its vectors, the objective NumPy's for its products, and the two fight over the cores, as they do with any other
busy process. A fit gives the cores blocks of rows instead, elementwise work included, and its threads sleep while
they wait.
"""

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
_n_inside = 0
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

    def product(self, A, B):
        """Return A B, whose columns are shared out."""
        result = np.empty((len(A), B.shape[1]), dtype=np.result_type(A, B))
        edges = np.linspace(0, B.shape[1], self.n_threads + 1, dtype=int)
        columns = [slice(*edge) for edge in pairwise(edges)]
        list(self.map(lambda part: np.matmul(A, B[:, part], out=result[:, part]), columns))
        return result


@contextmanager
def row_threads(n_parts=None, at_most=None):
    """Hold BLAS at one thread, and yield RowThreads with as many as NumPy's products would have used.

    Fits may overlap: the first one in sets the limits, the last one out lifts them.

    Parameters
    ----------
    n_parts : int, default=None
        What to cut sums into, if not one part a thread: the same parts give the same sum, to the last bit.

    at_most : int, default=None
        A cap on the threads, for who shares the cores with others.
    """
    n_threads = _enter()
    if at_most is not None:
        n_threads = min(n_threads, at_most)
    try:
        if n_threads == 1:
            yield RowThreads(n_parts or 1)
        else:
            with ThreadPoolExecutor(n_threads) as executor:
                yield RowThreads(n_parts or n_threads, executor)
    finally:
        _leave()


@cache
def _blas_pools():
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _scipy_homes():
    """Where SciPy's wheels put the libraries that they bring for themselves."""
    package = Path(scipy.__file__).resolve().parent
    return {package.parent / "scipy.libs", package / ".dylibs"}


def _enter():
    global _n_inside, _limits_before
    with _lock:
        if _n_inside == 0:
            _limits_before = [(pool, pool.get_num_threads()) for pool in _blas_pools()]
            for pool, _ in _limits_before:
                pool.set_num_threads(1)
        _n_inside += 1
        numpys = [limit for pool, limit in _limits_before if Path(pool.filepath).resolve().parent not in _scipy_homes()]
        return max(numpys, default=1)


def _leave():
    global _n_inside
    with _lock:
        _n_inside -= 1
        if _n_inside == 0:
            for pool, limit in _limits_before:
                pool.set_num_threads(limit)
