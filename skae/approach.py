"""How the joint search starts on many rows: with a short search on each of a few random parts of them.

Far from the minimum the gradient of some rows is as good a guide as that of all, at a fraction of its cost. Each search
goes on from the last one, on other rows, so that none is fitted for long; and the variables are whitened anew before
each, because the moments change fast at first.
"""

from dataclasses import replace

import numpy as np

from skae.preconditioning import whitened

# The parts, and the iterations on each. Settled on MNIST: cross-entropy, tied and deep, and tied squared error. Shorter
# searches on smaller parts cost almost as much, because an iteration of L-BFGS has costs that no row bears.
_N_PARTS = 4
_N_ITERATIONS = 15

# Fewer rows say too little of all the others; more entries, of a part or of the sample that the moments are of, take
# memory.
_MIN_ROWS = 400
_PART_ENTRIES = 2**21
_SAMPLE_ROWS, _SAMPLE_ENTRIES = 4096, 2**19

# The cost of the approach, as a share of that of the search over all rows.
_MAX_COST = 0.25


def subset(problem, rows):
    """Return the problem on some rows, an array of indices."""
    draws = [draw[rows] for draw in problem.draws]
    X = problem.X[rows] if problem.is_corrupted else draws[0]
    return replace(problem, X=X, draws=draws, weights=problem.weights[rows])


def sample(problem, rows):
    """Return the problem on the first of some rows, as many as moments need and memory allows."""
    size = min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // max(problem.architecture.widths) + 1)
    return subset(problem, np.sort(rows[:size]))


def approach(problem, variables, theta, make_objective, search, *, offset, threads, rng, n_parts=_N_PARTS):
    """Return whitened variables and a theta from which to search over all rows.

    Parameters
    ----------
    problem : Problem

    variables : CentredVariables

    theta : ndarray of shape (n_parameters,)

    make_objective : callable(problem, variables)

    search : LBFGS
        The search that is to follow.

    offset : ndarray of shape (n_features,)
        The first layer's.

    threads : RowThreads

    rng : numpy.random.Generator

    n_parts : int
        The parts to search, unless the rows are few or max_iter is small; 0 only whitens.
    """
    n_rows = problem.X.shape[0]
    size = min(-(-n_rows // _N_PARTS), _PART_ENTRIES // max(problem.architecture.widths) + 1)
    if size < _MIN_ROWS:
        return whitened(sample(problem, rng.permutation(n_rows)), variables, theta, offset, threads)
    n_affordable = int(_MAX_COST * search.max_iter * n_rows / (size * _N_ITERATIONS))
    short = replace(search, max_iter=_N_ITERATIONS)
    order = rng.permutation(n_rows)
    for index in range(min(n_parts, n_affordable)):
        rows = order[index * size : (index + 1) * size]
        variables, theta = whitened(sample(problem, rows), variables, theta, offset, threads)
        theta = short.minimize(make_objective(subset(problem, np.sort(rows)), variables), theta).x
    return whitened(sample(problem, order), variables, theta, offset, threads)
