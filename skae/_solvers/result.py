"""The record that every solver returns."""

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Status(Enum):
    """Why a solver stopped."""

    CONVERGED = "the objective fell by less than tol in the last n_iter_no_change iterations"
    PRECISION = "the objective no longer falls by more than its rounding"
    MAX_ITER = "it reached max_iter"
    MAX_FUN = "it reached max_fun"
    LINE_SEARCH = "its line search found no lower point"
    CALLBACK = "a callback asked it to"


@dataclass(frozen=True, eq=False)
class SolverResult:
    """Result of one run of a solver.

    Attributes
    ----------
    status : Status

    theta : ndarray of shape (n_parameters,)

    value : float
        The value there of the function that was minimised.

    gradient_norm : float, default=0.0
        Largest entry, in size, of the gradient at theta of the objective divided by its unit.

    fall : float, default=0.0
        Fall of the objective in the last n_iter_no_change iterations, or in all of them if there were fewer, divided
        by its unit.

    n_iter, n_evaluations : int, default=1
        At least 1. A solver that made no steps has the defaults.
    """

    status: Status
    theta: np.ndarray
    value: float
    gradient_norm: float = 0.0
    fall: float = 0.0
    n_iter: int = 1
    n_evaluations: int = 1

    @property
    def is_finite(self):
        """Whether the point, its value and its gradient are."""
        return bool(np.isfinite(self.theta).all() and np.isfinite([self.value, self.gradient_norm]).all())
