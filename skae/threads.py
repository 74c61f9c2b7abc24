"""SciPy's own BLAS threads, kept out of the way of NumPy's while a solver runs.

The wheels of NumPy and SciPy each bring an OpenBLAS with threads that spin while they wait. L-BFGS-B calls SciPy's
for its vectors, the objective NumPy's for its products, and the two fight over the cores.
"""

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import scipy
from threadpoolctl import ThreadpoolController

_lock = Lock()
_n_inside = 0
_limits_before = []


@cache
def _scipy_pools():
    """The controllers of BLAS libraries that SciPy brings for itself; none where it shares NumPy's."""
    package = Path(scipy.__file__).resolve().parent
    homes = {package.parent / "scipy.libs", package / ".dylibs"}
    blas = ThreadpoolController().select(user_api="blas").lib_controllers
    return [pool for pool in blas if Path(pool.filepath).resolve().parent in homes]


@contextmanager
def one_scipy_thread():
    """Hold SciPy's BLAS at one thread; fits may overlap: the first one in sets the limit, the last one out lifts it."""
    global _n_inside, _limits_before
    with _lock:
        if _n_inside == 0:
            _limits_before = [(pool, pool.get_num_threads()) for pool in _scipy_pools()]
            for pool, _ in _limits_before:
                pool.set_num_threads(1)
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if _n_inside == 0:
                for pool, limit in _limits_before:
                    pool.set_num_threads(limit)
