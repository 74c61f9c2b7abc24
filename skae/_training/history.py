"""What can be known of a search while it runs, and a log of it."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import NamedTuple

from skae._network.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fitted estimator is made of.

    Attributes
    ----------
    parameters : Parameters
        About what is to be subtracted from rows.

    loss : float
        The objective there.

    loss_curve, validation_loss_curve : list of float
        After each iteration; the second one is empty if no rows are held out.

    best_validation_loss : float or None
        Of the parameters, if rows are held out.

    n_evaluations : int

    solver : str
    """

    parameters: Parameters
    loss: float
    loss_curve: list
    validation_loss_curve: list
    best_validation_loss: float | None
    n_evaluations: int
    solver: str


class Phase(NamedTuple):
    """A part of a search: an objective over all rows or some of them.

    Attributes
    ----------
    objective : callable(theta) -> (value, gradient)
        With `terms`, the mean reconstruction loss and each penalty at the latest call.

    parameters_at : callable(theta) -> Parameters

    n_rows : int

    is_whole : bool
        Whether these are all rows.
    """

    objective: Callable
    parameters_at: Callable
    n_rows: int
    is_whole: bool


class Iterate:
    """A search after an iteration. Costly properties are worked out when they are first asked for.

    Not by functools.cached_property: until Python 3.12 it holds a lock of the class, and a process that is forked
    meanwhile waits for it for ever.

    Parameters
    ----------
    history : History

    phase : Phase

    number : int
        The iteration, from 1; 0 is the start.

    theta : ndarray of shape (n_parameters,)

    terms : ndarray of shape (1 + n_penalties,)
        The mean reconstruction loss and each penalty, over the phase's rows.

    fall : float
        As in SolverResult.

    n_evaluations : int
        So far, in units of one over all rows, rounded up.
    """

    def __init__(self, history, phase, number, theta, terms, fall, n_evaluations):
        self._history, self._phase = history, phase
        self.number = number
        self.theta = theta
        self.terms = terms
        self.fall = fall
        self.n_evaluations = n_evaluations
        self._parameters = self._validation_loss = None

    @property
    def objective(self):
        """The objective over the phase's rows."""
        return float(self.terms.sum())

    @property
    def n_rows(self):
        return self._phase.n_rows

    @property
    def is_whole(self):
        return self._phase.is_whole

    @property
    def parameters(self):
        if self._parameters is None:
            self._parameters = self._phase.parameters_at(self.theta)
        return self._parameters

    @property
    def validation_loss(self):
        """The loss of the held-out rows; None if there are none, or the phase is over a part of the rows."""
        loss_of = self._history.loss_of
        if self._validation_loss is None and loss_of is not None and self.is_whole:
            self._validation_loss = loss_of(self.parameters)
        return self._validation_loss

    def outcome(self):
        """Return the Outcome of a fit that ends with this iterate."""
        history = self._history
        loss = self.objective if self.is_whole else history.objective_of(self.parameters)
        return Outcome(
            parameters=self.parameters,
            loss=loss,
            loss_curve=list(history.loss_curve) or [loss],
            validation_loss_curve=list(history.validation_loss_curve),
            best_validation_loss=self.validation_loss,
            n_evaluations=self.n_evaluations,
            solver=history.solver,
        )


class History:
    """The record of a search, through all its phases: it keeps the curves and shows every iterate to the watchers.

    Parameters
    ----------
    solver : str
        Its name.

    n_rows : int
        All rows to train on.

    watchers : list of callable(Iterate) -> bool
        True is a request to stop. All of them see an iterate before the search does.

    objective_of : callable(Parameters) -> float, default=None
        The objective over all rows, if a phase is over a part of them.

    loss_of : callable(Parameters) -> float, default=None
        The loss of the held-out rows, if there are any.

    Attributes
    ----------
    n_iterations : int
        Of all phases.

    n_rows_evaluated : int
        Sum, over all evaluations, of their rows.

    loss_curve, validation_loss_curve : list of float
        After each iteration over all rows; the second one stays empty if no rows are held out.

    latest : Iterate
    """

    def __init__(self, solver, n_rows, watchers, objective_of=None, loss_of=None):
        self.solver = solver
        self.n_rows = n_rows
        self.objective_of = objective_of
        self.loss_of = loss_of
        self._watchers = list(watchers)
        self.n_iterations = self.n_rows_evaluated = 0
        self.loss_curve, self.validation_loss_curve = [], []
        self.latest = None

    def minimize(self, search, phase, theta):
        """Return the SolverResult of a search for the minimum of a phase's objective, and record its iterates."""
        before = self.n_rows_evaluated

        def callback(theta, value, fall, n_evaluations):
            self.n_rows_evaluated = before + phase.n_rows * n_evaluations
            self.add(phase, theta, phase.objective.terms, fall)

        result = search.minimize(phase.objective, theta, callback)
        self.n_rows_evaluated = before + phase.n_rows * result.n_evaluations
        return result

    @property
    def n_evaluations(self):
        """Evaluations so far, in units of one over all rows, rounded up."""
        return -(-self.n_rows_evaluated // self.n_rows)

    def add(self, phase, theta, terms, fall):
        """Record an iteration and show it to the watchers; StopIteration is a watcher's request."""
        self.n_iterations += 1
        iterate = self.iterate(phase, theta, terms, fall)
        self.record(iterate)
        requests = [watch(iterate) for watch in self._watchers]
        if any(requests):
            raise StopIteration

    def record(self, iterate):
        """Make an iterate the latest one, and continue the curves by it."""
        self.latest = iterate
        if iterate.is_whole:
            self.loss_curve.append(iterate.objective)
        if iterate.validation_loss is not None:
            self.validation_loss_curve.append(iterate.validation_loss)

    def iterate(self, phase, theta, terms, fall):
        """Return an Iterate that goes by the latest number of iterations and evaluations."""
        return Iterate(self, phase, self.n_iterations, theta, terms, fall, self.n_evaluations)

    def end(self):
        """Return the latest iterate, and forget it and the watchers, which keep iterates that refer to the history."""
        latest, self.latest, self._watchers = self.latest, None, []
        return latest


class Cancellation:
    """The watcher that ends what runs beside a run that has failed; copies in other processes know nothing of it."""

    def __init__(self):
        self._is_cancelled = False
        self._n_running = 0
        self._changed = Condition()

    def __reduce__(self):
        return Cancellation, ()

    def __call__(self, iterate):
        return self._is_cancelled

    @contextmanager
    def running(self):
        """Count a run; what it raises cancels the others."""
        with self._changed:
            self._n_running += 1
        try:
            yield
        except BaseException:
            self._is_cancelled = True
            raise
        finally:
            with self._changed:
                self._n_running -= 1
                self._changed.notify_all()

    def cancel(self):
        """Cancel what runs, and wait for its end."""
        self._is_cancelled = True
        with self._changed:
            self._changed.wait_for(lambda: not self._n_running)
