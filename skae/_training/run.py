"""Training: one run of a solver on a problem, and the best of several runs."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Condition

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from skae._objective.problem import Problem, mean_loss
from skae._rows.threads import row_threads
from skae._solvers.history import History, Watcher
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status
from skae._solvers.solver import Context, Solver
from skae._training.early_stopping import HeldOut, Patience
from skae._training.result import result_at


class Cancellation(Watcher):
    """Stops all runs beside one that has failed; copies in other processes do not hear of it."""

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
        """Count a run; an error in it cancels the others."""
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
        """Cancel all runs, and wait for their end."""
        self._is_cancelled = True
        with self._changed:
            self._changed.wait_for(lambda: not self._n_running)


@dataclass(frozen=True, eq=False)
class Training:
    """The runs of a fit: everything that they share.

    Parameters
    ----------
    problem : Problem

    solver : Solver

    limits : LBFGS

    held_out : HeldOut, default=None
        Rows whose loss decides when to stop, and which iterate is the result.

    axes : tuple of ndarray, default=None
        The variances along the first principal axes of the targets, and the axes, for a fresh start on them.

    goes_on : bool, default=False
        Whether the runs start at the result of a previous fit.

    n_parts : int, default=None
        Number of parts of every sum over rows. The same parts give the same sum, to the last bit. None: one a thread.
    """

    problem: Problem
    solver: Solver
    limits: LBFGS
    held_out: HeldOut | None = None
    axes: tuple | None = None
    goes_on: bool = False
    n_parts: int | None = None

    def best(self, rngs, starts, watchers, n_jobs=None):
        """Return the best TrainingResult of several runs.

        Parameters
        ----------
        rngs : list of numpy.random.Generator
            One a run.

        starts : list of Parameters or None
            One a run, to go on from; None: start afresh.

        watchers : list of list of Watcher
            One list a run.

        n_jobs : int, default=None
            As in joblib.
        """
        n_jobs = min(len(rngs), effective_n_jobs(n_jobs))
        at_most = None if self.n_parts is None else max(1, self.n_parts // n_jobs)
        cancellation = Cancellation()
        try:
            # With one job the runs stay in this process, where callbacks need no copies.
            results = Parallel(n_jobs=n_jobs)(
                delayed(self.run)(rng, start, watching, cancellation, at_most)
                for rng, start, watching in zip(rngs, starts, watchers, strict=True)
            )
        except BaseException:
            cancellation.cancel()
            raise
        return min(results, key=lambda result: result.selection_loss)

    def run(self, rng, start, watchers, cancellation, at_most=None):
        """Return the TrainingResult of one run, on at most so many threads."""
        with cancellation.running():
            for watcher in watchers:
                watcher.open()
            with row_threads(self.n_parts, at_most) as threads:
                result = self._solved(threads, rng, start, [cancellation, *watchers])
            for watcher in watchers:
                watcher.close()
        return result

    def _solved(self, threads, rng, start, watchers):
        history = self._history(threads, watchers)
        context = Context(threads, history, self.limits, rng, start, self.goes_on, self.axes)
        last_search = self.solver.solve(self.problem, context)
        patience, details = history.patience, {}
        has_lost_patience = patience is not None and patience.has_ended
        iterate = history.end()
        if patience is not None:
            details = {"best_iteration": iterate.number, "precedes_penalties": patience.precedes_penalties}
        return result_at(
            iterate,
            n_evaluations=history.n_evaluations,
            last_search=last_search,
            was_stopped=last_search.status is Status.CALLBACK and not has_lost_patience,
            **details,
        )

    def _history(self, threads, watchers):
        problem, limits = self.problem, self.limits
        patience, loss_of = None, None
        if self.held_out is not None:
            loss_of = partial(mean_loss, problem, self.held_out.rows, self.held_out.weights, threads)
            patience = Patience(limits.n_iter_no_change, limits.tol, problem.loss_unit)
        return History(self.solver.name, len(problem.targets), watchers, patience, loss_of)
