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
    theta : ndarray of shape (n_parameters,)

    value : float
        The value there of the function that was minimised.

    gradient_norm : float
        Largest entry, in size, of the gradient at theta of the objective divided by its unit.

    fall : float
        Fall of the objective in the last n_iter_no_change iterations, or in all of them if there were fewer, divided
        by its unit.

    n_iter, n_evaluations : int
        At least 1.

    status : Status
    """

    theta: np.ndarray
    value: float
    gradient_norm: float
    fall: float
    n_iter: int
    n_evaluations: int
    status: Status

    @property
    def is_finite(self):
        """Whether the point, its value and its gradient are."""
        return bool(np.isfinite(self.theta).all() and np.isfinite([self.value, self.gradient_norm]).all())
