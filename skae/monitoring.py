"""What can be known of a search while it runs, and a log of it."""

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from threading import Condition

from skae.parameters import Parameters

# With verbose=1, the iterations between two lines of the log.
_LOG_BLOCK = 10


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


class Iterate:
    """Where a search stands after an iteration. What costs something is worked out when it is asked for.

    Parameters
    ----------
    trace : Trace

    number : int
        The iteration, from 1; 0 is the start.

    theta : ndarray of shape (n_parameters,)

    objective : float

    terms : ndarray of shape (1 + n_penalties,)
        What the objective is the sum of: the mean reconstruction loss, and each penalty.

    gradient_norm : float
        As in SolverResult.

    n_evaluations : int
        So far.
    """

    def __init__(self, trace, number, theta, objective, terms, gradient_norm, n_evaluations):
        self._trace = trace
        self.number = number
        self.theta = theta
        self.objective = objective
        self.terms = terms
        self.gradient_norm = gradient_norm
        self.n_evaluations = n_evaluations

    @cached_property
    def parameters(self):
        return self._trace.parameters_at(self.theta)

    @cached_property
    def validation_loss(self):
        """The loss of the held-out rows, or None if there are none."""
        return None if self._trace.loss_of is None else self._trace.loss_of(self.parameters)

    def outcome(self):
        """Return the Outcome of a fit that has come so far, and has this iterate for its result."""
        trace = self._trace
        return Outcome(
            parameters=self.parameters,
            loss=self.objective,
            loss_curve=list(trace.loss_curve),
            validation_loss_curve=list(trace.validation_loss_curve),
            best_validation_loss=self.validation_loss,
            n_evaluations=self.n_evaluations,
            solver=trace.solver,
        )


class Trace:
    """A solver's callback: keeps the curves, shows every iterate to the watchers, and stops when one of them says so.

    Parameters
    ----------
    solver : str
        Its name.

    parameters_at : callable(theta) -> Parameters

    loss_of : callable(Parameters) -> float or None
        The loss of the held-out rows, if there are any.

    watchers : list of callable(Iterate) -> bool
        True is a request to stop. All of them see an iterate before the search does.

    Attributes
    ----------
    loss_curve, validation_loss_curve : list of float
        After each iteration; the second one stays empty if no rows are held out.
    """

    def __init__(self, solver, parameters_at, loss_of, watchers):
        self.solver = solver
        self.parameters_at = parameters_at
        self.loss_of = loss_of
        self._watchers = list(watchers)
        self.loss_curve, self.validation_loss_curve = [], []

    def add(self, *details):
        """Note an iterate, given by what it is made of; StopIteration is a watcher's request."""
        iterate = Iterate(self, len(self.loss_curve) + 1, *details)
        self.loss_curve.append(iterate.objective)
        if iterate.validation_loss is not None:
            self.validation_loss_curve.append(iterate.validation_loss)
        requests = [watch(iterate) for watch in self._watchers]
        if any(requests):
            raise StopIteration

    def let_go(self):
        """Forget the watchers, which may keep iterates, and through them what the iterates need."""
        self._watchers = []


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


class Log:
    """The watcher that prints: a header, then an aligned line a block of iterations.

    Parameters
    ----------
    name : str
        What every line starts with.

    terms : list of str
        Names of the objective's terms.

    every_iteration : bool
        Whether a block is one iteration.
    """

    def __init__(self, name, terms, every_iteration):
        self._name = name
        self._columns = ["objective", *_numbered(terms), "gradient", "validation"]
        self._every = 1 if every_iteration else _LOG_BLOCK
        self._latest = self._printed = None

    def open(self):
        self._start = time.perf_counter()
        self._print("iteration", self._columns, "seconds")

    def __call__(self, iterate):
        self._latest = iterate
        if iterate.number == 1 or iterate.number % self._every == 0:
            self._print_latest()

    def close(self):
        """Print the last iterate, if that has not been done."""
        if self._latest is not self._printed:
            self._print_latest()

    def _print_latest(self):
        iterate = self._printed = self._latest
        values = [iterate.objective, *iterate.terms, iterate.gradient_norm]
        cells = [f"{value:.5g}" for value in values]
        cells.append("-" if iterate.validation_loss is None else f"{iterate.validation_loss:.5g}")
        self._print(iterate.number, cells, f"{time.perf_counter() - self._start:.2f}")

    def _print(self, number, cells, seconds):
        widths = [max(12, len(column)) for column in self._columns]  # -1.2345e+300
        aligned = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print(f"[{self._name}] {number:>9}  {aligned}  {seconds:>7}", flush=True)


def _numbered(names):
    """Tell apart what has the same name."""
    seen = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}_{seen[name]}"
