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
        The mean reconstruction loss and each penalty.

    parameters_of : callable() -> Parameters

    fall : float
        As in SolverResult.
    """

    def __init__(self, history, number, terms, parameters_of, fall):
        self.history = history
        self.number = number
        self.terms = terms
        self.fall = fall
        self.n_evaluations = history.n_evaluations
        self._parameters_of = parameters_of
        self._parameters = self._validation_loss = None

    @property
    def objective(self):
        """The objective."""
        return float(self.terms.sum())

    @property
    def parameters(self):
        if self._parameters is None:
            # The function refers to the objective and its buffers.
            self._parameters, self._parameters_of = self._parameters_of(), None
        return self._parameters

    @property
    def validation_loss(self):
        """The loss of the held-out rows; None if there are none."""
        loss_of = self.history.loss_of
        if self._validation_loss is None and loss_of is not None:
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
        After each iteration; the second one stays empty if no rows are held out.

    latest : Iterate
    """

    def __init__(self, solver, n_rows, watchers, patience=None, loss_of=None):
        self.solver = solver
        self.n_rows = n_rows
        self.patience, self.loss_of = patience, loss_of
        self._watchers = [*([] if patience is None else [patience]), *watchers]
        self.n_iterations = self.n_rows_evaluated = 0
        self.loss_curve, self.validation_loss_curve = [], []
        self.latest = None

    @property
    def n_evaluations(self):
        """Evaluations so far, in units of one over all rows, rounded up."""
        return -(-self.n_rows_evaluated // self.n_rows)

    def add(self, terms, parameters_of, fall):
        """Record an iteration and show it to the watchers; StopIteration is the request of one of them."""
        self.n_iterations += 1
        iterate = Iterate(self, self.n_iterations, terms, parameters_of, fall)
        self._record(iterate)
        requests = [watch(iterate) for watch in self._watchers]
        if any(requests):
            raise StopIteration

    def add_only(self, terms, parameters_of):
        """Record the only iterate of a solver that does not search."""
        with suppress(StopIteration):
            self.add(terms, parameters_of, fall=0.0)

    def consider_start(self, terms, parameters_of):
        """Let held-out rows choose the start as well, if that is a previous result."""
        if self.patience is not None:
            self.patience.consider(Iterate(self, 0, terms, parameters_of, 0.0))

    def _record(self, iterate):
        self.latest = iterate
        self.loss_curve.append(iterate.objective)
        if iterate.validation_loss is not None:
            self.validation_loss_curve.append(iterate.validation_loss)

    def end(self):
        """Return the iterate that is the result, and drop all that refers to iterates, which refer to the history."""
        result = self.latest if self.patience is None else self.patience.best
        self.latest, self.patience, self._watchers = None, None, []
        return result
