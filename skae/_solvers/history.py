"""The history of a training run: every iterate of all phases, the curves, and the watchers that may stop it."""

from abc import ABC, abstractmethod
from contextlib import suppress


class Watcher(ABC):
    """Sees every iterate of a run, and may ask to stop it."""

    def open(self):  # noqa: B027 - most watchers need no preparation
        """Begin: the run is about to start."""

    @abstractmethod
    def __call__(self, iterate):
        """Look at an Iterate; a true result is a request to stop."""

    def close(self):  # noqa: B027
        """End: the run has ended without an error."""


class Iterate:
    """The state of a run after an iteration. Costly properties are computed when they are first asked for.

    Not by functools.cached_property: until Python 3.12 it holds a lock of the class, and a process that is forked
    meanwhile waits for it for ever.

    Parameters
    ----------
    history : History

    number : int
        The iteration, from 1; 0 is the start.

    terms : ndarray of shape (1 + n_penalties,)
        The mean reconstruction loss and each penalty, over the rows of the phase.

    parameters_of : callable() -> Parameters

    fall : float
        As in SolverResult.

    n_rows : int
        Number of rows of the phase.
    """

    def __init__(self, history, number, terms, parameters_of, fall, n_rows):
        self.history = history
        self.number = number
        self.terms = terms
        self.fall = fall
        self.n_rows = n_rows
        self.n_evaluations = history.n_evaluations
        self._parameters_of = parameters_of
        self._parameters = self._terms_of_all = self._validation_loss = None

    @property
    def objective(self):
        """The objective over the rows of the phase."""
        return float(self.terms.sum())

    @property
    def is_whole(self):
        """Whether the phase is over all rows."""
        return self.n_rows == self.history.n_rows

    @property
    def parameters(self):
        if self._parameters is None:
            # The function refers to the objective and its buffers.
            self._parameters, self._parameters_of = self._parameters_of(), None
        return self._parameters

    @property
    def terms_of_all(self):
        """The terms over all rows."""
        if self._terms_of_all is None:
            self._terms_of_all = self.terms if self.is_whole else self.history.terms_of(self.parameters)
        return self._terms_of_all

    @property
    def validation_loss(self):
        """The loss of the held-out rows; None if there are none, or the phase is over a part of the rows."""
        loss_of = self.history.loss_of
        if self._validation_loss is None and loss_of is not None and self.is_whole:
            self._validation_loss = loss_of(self.parameters)
        return self._validation_loss


class History:
    """The record of a run through all its phases. It keeps the curves and shows every iterate to the watchers.

    Parameters
    ----------
    solver : str
        Its name.

    n_rows : int
        Number of all rows to train on.

    watchers : list of Watcher
        All of them see an iterate before the search does.

    terms_of : callable(Parameters) -> ndarray of shape (1 + n_penalties,), default=None
        The terms over all rows, for iterates of a phase over a part of them.

    patience : Patience, default=None
        The watcher that chooses the result by held-out rows.

    loss_of : callable(Parameters) -> float, default=None
        The loss of the held-out rows.

    Attributes
    ----------
    n_iterations : int
        Of all phases.

    n_rows_evaluated : int
        Sum, over all evaluations, of their rows.

    loss_curve, validation_loss_curve : list of float
        After each iteration over all rows; the second one stays empty if no rows are held out.

    latest : Iterate

    was_stopped : bool
        Whether a watcher has asked to stop.
    """

    def __init__(self, solver, n_rows, watchers, terms_of=None, patience=None, loss_of=None):
        self.solver = solver
        self.n_rows = n_rows
        self.terms_of = terms_of
        self.patience, self.loss_of = patience, loss_of
        self._watchers = [*([] if patience is None else [patience]), *watchers]
        self.n_iterations = self.n_rows_evaluated = 0
        self.loss_curve, self.validation_loss_curve = [], []
        self.latest = None
        self.was_stopped = False

    @property
    def n_evaluations(self):
        """Evaluations so far, in units of one over all rows, rounded up."""
        return -(-self.n_rows_evaluated // self.n_rows)

    def add(self, terms, parameters_of, fall, n_rows):
        """Record an iteration and show it to the watchers; StopIteration is the request of one of them."""
        self.n_iterations += 1
        iterate = Iterate(self, self.n_iterations, terms, parameters_of, fall, n_rows)
        self._record(iterate)
        requests = [watch(iterate) for watch in self._watchers]
        if any(requests):
            self.was_stopped = True
            raise StopIteration

    def add_only(self, terms, parameters_of):
        """Record the only iterate of a solver that does not search."""
        with suppress(StopIteration):
            self.add(terms, parameters_of, fall=0.0, n_rows=self.n_rows)

    def consider_start(self, terms, parameters_of):
        """Let held-out rows choose the start as well, if that is a previous result."""
        if self.patience is not None:
            self.patience.consider(Iterate(self, 0, terms, parameters_of, 0.0, self.n_rows))

    def add_end(self, terms, parameters_of):
        """Record the end, over all rows, of a run that was stopped in a phase over a part of them."""
        iterate = Iterate(self, self.n_iterations, terms, parameters_of, 0.0, self.n_rows)
        self._record(iterate)
        if self.patience is not None:
            self.patience.consider(iterate)

    def _record(self, iterate):
        self.latest = iterate
        if iterate.is_whole:
            self.loss_curve.append(iterate.objective)
        if iterate.validation_loss is not None:
            self.validation_loss_curve.append(iterate.validation_loss)

    def end(self):
        """Return the iterate that is the result, and drop all that refers to iterates, which refer to the history."""
        result = self.latest if self.patience is None else self.patience.best
        self.latest, self.patience, self._watchers = None, None, []
        return result
