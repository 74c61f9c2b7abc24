"""How the joint search starts on many rows: with a short search on each of a few random parts of them.

Far from the minimum the gradient of some rows is as good a guide as that of all, at a fraction of its cost. Each search
goes on from the last one, on other rows, so that none is fitted for long; and the variables are whitened anew before
each, because the moments change fast at first.
"""

from dataclasses import replace

import numpy as np

from skae._solvers.result import Status
from skae._variables.whitening import whitened

# The parts, and the iterations on each. Settled on MNIST: cross-entropy, tied and deep, and tied squared error. Shorter
# searches on smaller parts cost almost as much, because an iteration of L-BFGS has costs that no row bears.
_N_PARTS = 4
_N_ITERATIONS = 15

# Fewer rows say too little of all the others; more entries, of a part or of the sample that the moments are of, take
# memory.
_MIN_ROWS = 400
_PART_ENTRIES = 2**21
_SAMPLE_ROWS, _SAMPLE_ENTRIES = 4096, 2**19

# Iterations and evaluations on parts, as a share of max_iter and max_fun.
_MAX_SHARE = 0.25


def sample(problem, rows, threads):
    """Return the problem on the first of some rows, as many as moments need and memory allows."""
    size = min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // max(problem.architecture.widths) + 1)
    return problem.subset(np.sort(rows[:size]), threads)


def approach(search, history, problem, variables, theta, make_phase, *, offset, threads, rng):
    """Search on parts of the rows, one after the other.

    Parameters
    ----------
    search : LBFGS
        The search over all rows that is to follow.

    history : History
        Shown every iterate.

    problem : Problem

    variables : CentredVariables

    theta : ndarray of shape (n_parameters,)

    make_phase : callable(problem, variables) -> Phase

    offset : ndarray of shape (n_features,)
        The first layer's.

    threads : RowThreads

    rng : numpy.random.Generator

    Returns
    -------
    variables : CentredVariables
        Those of the last search.

    theta : ndarray of shape (n_parameters,)
        The result.

    stopped : bool
        Whether a watcher asked to stop.
    """
    n_rows = problem.X.shape[0]
    size = min(-(-n_rows // _N_PARTS), _PART_ENTRIES // max(problem.architecture.widths) + 1)
    n_parts = min(_N_PARTS, int(_MAX_SHARE * search.max_iter / _N_ITERATIONS)) if size >= _MIN_ROWS else 0
    order = rng.permutation(n_rows)
    for index in range(n_parts):
        rows = order[index * size : (index + 1) * size]
        max_fun = int((_MAX_SHARE * search.max_fun * n_rows - history.n_rows_evaluated) / len(rows))
        if max_fun < 1:
            break
        variables, theta = whitened(sample(problem, rows, threads), variables, theta, offset, threads)
        phase = make_phase(problem.subset(np.sort(rows), threads), variables)
        result = history.minimize(replace(search, max_iter=_N_ITERATIONS, max_fun=max_fun), phase, theta)
        theta = result.x
        if result.status is Status.CALLBACK:
            return variables, theta, True
    return variables, theta, False
