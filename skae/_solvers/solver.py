"""The interface of a solver, and the context that it gets besides the problem."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from skae._network.parameters import Parameters
from skae._rows.threads import RowThreads
from skae._solvers.history import History
from skae._solvers.lbfgs import LBFGS


@dataclass(frozen=True, eq=False)
class Context:
    """The circumstances of one training run.

    Attributes
    ----------
    threads : RowThreads

    history : History
        Gets every iterate, counts iterations and evaluations, and knows whether to stop.

    limits : LBFGS
        Caps and tolerances of the whole run.

    rng : numpy.random.Generator
        The only source of randomness.

    start : Parameters or None
        Parameters to go on from; None: start afresh.

    is_refined : bool
        Whether these are the result of a previous fit, which steps on minibatches would undo.

    axes : tuple of ndarray or None
        The variances along the first principal axes, and the axes, for a fresh start on them.
    """

    threads: RowThreads
    history: History
    limits: LBFGS
    rng: np.random.Generator
    start: Parameters | None = None
    is_refined: bool = False
    axes: tuple | None = None


class Solver(ABC):
    """One way to minimise the objective of a Problem.

    Attributes
    ----------
    name : str
        Its value of the estimators' `solver`.

    is_search : bool
        Whether it iterates, from a start, so that early stopping and restarts have a meaning.
    """

    name: ClassVar[str]
    is_search: ClassVar[bool] = True

    @abstractmethod
    def why_not(self, problem):
        """Return why the solver does not apply to a problem, or None if it does."""

    def is_worthwhile(self, problem):
        """Return whether "auto" should take the solver, if it applies, rather than a later one."""
        return True

    @abstractmethod
    def solve(self, problem, context):
        """Minimise the objective, report every iterate to the context's history, and return a SolverResult."""
