"""The warm-up of the joint search: short searches, one on each of a few random parts of the rows.

Far from the minimum the gradient of some rows is as good a guide as that of all, at a fraction of its cost. Each search
goes on from the last one, on other rows, so that none is fitted for long. The variables are whitened anew before each,
because the moments change fast at first.
"""

from typing import NamedTuple

import numpy as np

from skae._objective.problem import Problem

# The parts, and the iterations on each. Settled on MNIST: cross-entropy, tied and deep, and tied squared error. Shorter
# searches on smaller parts cost almost as much, because an iteration of L-BFGS has costs that no row bears.
_N_PARTS = 4
_N_ITERATIONS = 15

# Fewer rows represent the others badly; more entries, of a part or of the sample for the moments, take memory.
_MIN_ROWS = 400
_PART_ENTRIES = 2**21
_SAMPLE_ROWS, _SAMPLE_ENTRIES = 4096, 2**19

# Iterations and evaluations on parts, as a share of max_iter and max_fun.
_MAX_SHARE = 0.25


class Phase(NamedTuple):
    """A search on a part of the rows.

    Attributes
    ----------
    problem : Problem
        On the part.

    sample : Problem
        On the rows whose moments whiten the variables.

    max_iter, max_fun : int
    """

    problem: Problem
    sample: Problem
    max_iter: int
    max_fun: int


def sample(problem, rows, threads):
    """Return the problem on the first of some rows, as many as moments need and memory allows."""
    size = min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // max(problem.architecture.widths) + 1)
    return problem.subset(np.sort(rows[:size]), threads)


def warm_up_phases(problem, context):
    """Yield the Phases of a warm-up, until a watcher stops the search or its share of the caps is used up."""
    history, limits, n_rows = context.history, context.limits, len(problem.targets)
    size = min(-(-n_rows // _N_PARTS), _PART_ENTRIES // max(problem.architecture.widths) + 1)
    n_parts = min(_N_PARTS, int(_MAX_SHARE * limits.max_iter / _N_ITERATIONS)) if size >= _MIN_ROWS else 0
    order = context.rng.permutation(n_rows)
    for index in range(n_parts):
        rows = order[index * size : (index + 1) * size]
        max_fun = int((_MAX_SHARE * limits.max_fun * n_rows - history.n_rows_evaluated) / len(rows))
        if max_fun < 1 or history.was_stopped:
            return
        yield Phase(
            problem.subset(np.sort(rows), context.threads),
            sample(problem, rows, context.threads),
            _N_ITERATIONS,
            max_fun,
        )
