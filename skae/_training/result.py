"""The record of a training run."""

from dataclasses import dataclass

import numpy as np

from skae._network.parameters import Parameters
from skae._solvers.result import SolverResult


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """Result of one training run, or of its iterations so far.

    Attributes
    ----------
    parameters : Parameters
        With the offset of the problem.

    terms : ndarray of shape (1 + n_penalties,)
        The mean reconstruction loss and each penalty there.

    loss_curve, validation_loss_curve : list of float
        After each iteration; the second one is empty if no rows are held out.

    validation_loss : float or None
        Of the parameters, if rows are held out.

    n_iterations, n_evaluations : int
        Of all phases.

    solver : str

    last_search : SolverResult or None
        Of the last phase. None while the run goes on.

    best_iteration : int or None
        The iteration that held-out rows chose; 0 is a warm start itself.

    precedes_penalties : bool
        Whether held-out rows chose an iterate from before the penalties took effect.

    was_stopped : bool
        Whether a callback ended the run.
    """

    parameters: Parameters
    terms: np.ndarray
    loss_curve: list
    validation_loss_curve: list
    validation_loss: float | None
    n_iterations: int
    n_evaluations: int
    solver: str
    last_search: SolverResult | None = None
    best_iteration: int | None = None
    precedes_penalties: bool = False
    was_stopped: bool = False

    @property
    def loss(self):
        """The objective."""
        return float(self.terms.sum())

    @property
    def selection_loss(self):
        """Loss by which restarts are compared: the validation loss if there is one, else the objective.

        Infinite if the result is unusable.
        """
        loss = self.loss if self.validation_loss is None else self.validation_loss
        return loss if self.is_finite and np.isfinite(loss) else np.inf

    @property
    def is_finite(self):
        """Whether objective and parameters are finite, and the search ended on finite values if it ended here."""
        has_ended_here = self.last_search is not None and self.best_iteration is None
        is_finite = np.isfinite(self.loss) and self.parameters.is_finite
        return bool(is_finite and (not has_ended_here or self.last_search.is_finite))

    @property
    def was_cut_short(self):
        """Whether held-out rows chose an iterate before the last one."""
        return self.best_iteration is not None and self.best_iteration < self.n_iterations


def result_at(iterate, **details):
    """Return the TrainingResult at an Iterate; `details` are further fields."""
    history, terms = iterate.history, iterate.terms
    fields = {
        "parameters": iterate.parameters,
        "terms": terms,
        "loss_curve": list(history.loss_curve),
        "validation_loss_curve": list(history.validation_loss_curve),
        "validation_loss": iterate.validation_loss,
        "n_iterations": history.n_iterations,
        "n_evaluations": iterate.n_evaluations,
        "solver": history.solver,
    }
    return TrainingResult(**{**fields, **details})
