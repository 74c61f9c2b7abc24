"""One training run: from validated data and parts to parameters, by way of a centred and scaled objective."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skae._network.parameters import Layout, Parameters
from skae._objective.joint import Objective, objective_terms
from skae._objective.problem import mean_loss
from skae._objective.projected import ProjectedObjective, why_not_projectable
from skae._rows.moments import row_offset
from skae._rows.threads import row_threads
from skae._solvers import closed_form
from skae._solvers.result import SolverResult, Status
from skae._solvers.warm_up import approach, sample
from skae._training.diagnosis import Verdict, examine
from skae._training.early_stopping import Patience
from skae._training.history import History, Outcome, Phase
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start, theta_of
from skae._variables.whitening import whitened

# By name, in the order in which "auto" tries them: why a solver does not apply to a problem, or None if it does.
SOLVERS = {
    "svd": closed_form.why_no_closed_form,
    "varpro": why_not_projectable,
    "lbfgs": lambda problem: None,
}

_WITHOUT_SEARCH = ("svd",)

_OBJECTIVES = {"varpro": ProjectedObjective, "lbfgs": Objective}


@dataclass(frozen=True, eq=False)
class Trained:
    """Result of one training run.

    Attributes
    ----------
    outcome : Outcome

    result : SolverResult
        The solver's last search.

    verdict : Verdict
        Quality of the result.

    n_iterations : int
        Of all phases of the search.

    was_stopped : bool
        Whether a callback ended it.

    kept : int or None
        The iteration that held-out rows chose; 0 is a warm start itself.

    outvoted : bool
        Whether the penalties had not taken effect there.
    """

    outcome: Outcome
    result: SolverResult
    verdict: Verdict
    n_iterations: int
    was_stopped: bool = False
    kept: int | None = None
    outvoted: bool = False

    @property
    def figure_of_merit(self):
        """What restarts are compared by: the validation loss if there is one, else the objective.

        Infinite for a result that is none.
        """
        validation_loss = self.outcome.best_validation_loss
        figure = self.outcome.loss if validation_loss is None else validation_loss
        return figure if self.is_finite and np.isfinite(figure) else np.inf

    @property
    def is_finite(self):
        """Whether the result has finite values; an iterate that held-out rows chose need not be the solver's last."""
        result = self.result
        numbers = [result.fun, result.gradient_norm if self.kept is None else 0.0]
        return bool(np.isfinite(numbers).all() and np.isfinite(result.x).all())


def choose_solver(name, problem, search_options=()):
    """Return the name of the solver to use; "auto" is the first that applies.

    `search_options` are the options, in words, that only a search can honour. Raises ValueError if the solver that is
    named does not apply.
    """

    def why_not(solver):
        if search_options and solver in _WITHOUT_SEARCH:
            return f"it does not search, as {' and '.join(search_options)} would need"
        return SOLVERS[solver](problem)

    if name == "auto":
        return next(solver for solver in SOLVERS if why_not(solver) is None)
    reason = why_not(name)
    if reason is not None:
        raise ValueError(f"solver={name!r} does not apply: {reason}. Set solver='auto'.")
    return name


def run(problem, solver, search, watchers, cancellation, thread_options, **options):
    """Return what `train` does, in threads of its own, and open and close the watchers."""
    with cancellation.running():
        for watcher in watchers:
            watcher.open()
        with row_threads(**thread_options) as threads:
            trained = train(problem, solver, search, [cancellation, *watchers], threads=threads, **options)
        for watcher in watchers:
            watcher.close()
    return trained


def train(problem, solver, search, watchers=(), *, threads, held_out=None, start=None, init="glorot", rng=None):
    """Minimise the problem's objective.

    Parameters
    ----------
    problem : Problem

    solver : str
        A key of SOLVERS that applies to the problem.

    search : LBFGS
        The settings of a search, if there is no closed form.

    watchers : sequence of callable(Iterate) -> bool
        Called after every iteration; True is a request to stop.

    threads : RowThreads
        What the rows are shared out to.

    held_out : HeldOut, default=None
        Rows whose loss decides when to stop, and which iterate is the result.

    start : Parameters, default=None
        Where to start; None: afresh.

    init : {"glorot", "pca"}, default="glorot"
        How to start afresh.

    rng : numpy.random.Generator, default=None
        What a fresh start draws from.

    Returns
    -------
    Trained
    """
    if solver in _WITHOUT_SEARCH:
        result, iterate, details = _solved(problem, watchers, threads)
    else:
        result, iterate, details = _searched(
            problem, solver, search, watchers, threads, held_out, start=start, init=init, rng=rng
        )
    verdict = examine(problem, iterate.parameters, iterate.terms, threads)
    return Trained(iterate.outcome(), result, verdict, **details)


def _solved(problem, watchers, threads):
    """Return the closed form's SolverResult, its only Iterate, and details for Trained."""
    parameters, terms, result = closed_form.solve(problem, threads)
    parameters = parameters.about(row_offset(problem.mean, problem.scale))
    n_rows = problem.X.shape[0]
    history = History("svd", n_rows, watchers)
    history.n_rows_evaluated = n_rows
    with suppress(StopIteration):
        history.add(Phase(None, lambda theta: parameters, n_rows, is_whole=True), result.x, terms, result.fall)
    return result, history.end(), {"n_iterations": 1}


def _searched(problem, solver, search, watchers, threads, held_out, *, start, init, rng):
    """Return the last search's SolverResult, the Iterate that is the result of all, and details for Trained."""
    n_rows = problem.X.shape[0]
    layout = Layout(problem.architecture, _OBJECTIVES[solver].n_layers)
    variables, offset = search_variables(problem, layout, threads)
    make_phase = partial(_make_phase, problem, _OBJECTIVES[solver], offset, threads)
    if start is None:
        theta = fresh_start(problem, layout, variables, init, rng, threads)
    else:
        theta = theta_of(start, problem, layout, variables, offset)
    history, patience = _history(problem, solver, search, watchers, threads, held_out)

    stopped = False
    if solver == "lbfgs" and problem.scale:
        if start is None:
            variables, theta, stopped = approach(
                search, history, problem, variables, theta, make_phase, offset=offset, threads=threads, rng=rng
            )
        some = sample(problem, rng.permutation(n_rows), threads)
        variables, theta = whitened(some, variables, theta, offset, threads)
    phase = make_phase(problem, variables)
    if patience is not None and start is not None:  # to go on may be no better than to stay
        iterate, _ = _evaluated(history, phase, theta)
        patience.consider(iterate)
    if stopped:
        iterate, result = _evaluated(history, phase, theta)
        history.record(iterate)
        if patience is not None:
            patience.consider(iterate)
    else:
        max_iter = search.max_iter - history.n_iterations
        max_fun = max(1, search.max_fun - history.n_evaluations)
        result = history.minimize(replace(search, max_iter=max_iter, max_fun=max_fun), phase, theta)
    return _result(result, history, patience)


def _make_phase(problem, objective_class, offset, threads, part, variables):
    """Return the Phase over `part`, the problem or its restriction to some rows."""
    objective = objective_class(part, variables, offset=offset, threads=threads)
    home = row_offset(problem.mean, problem.scale)

    def parameters_at(theta):
        with np.errstate(over="ignore", invalid="ignore"):
            return Parameters(*objective.parameters(theta), offset).about(home)

    return Phase(objective, parameters_at, part.X.shape[0], is_whole=part is problem)


def _history(problem, solver, search, watchers, threads, held_out):
    """Return the History of a search, and its Patience if rows are held out."""
    patience, loss_of = None, None
    if held_out is not None:
        loss_of = partial(mean_loss, problem, held_out.X, held_out.weights, threads)
        patience = Patience(search.n_iter_no_change, search.tol * problem.reference, problem.reference)
        watchers = [patience, *watchers]

    def objective_of(parameters):
        return float(objective_terms(problem, parameters, threads).sum())

    return History(solver, problem.X.shape[0], watchers, objective_of, loss_of), patience


def _evaluated(history, phase, theta):
    """Return the Iterate at theta, and a SolverResult that stays there."""
    value, gradient = phase.objective(theta)
    history.n_rows_evaluated += phase.n_rows
    result = SolverResult(
        x=theta,
        fun=value,
        gradient_norm=float(np.abs(gradient).max() / phase.objective.reference),
        fall=0.0,
        n_iter=1,
        n_evaluations=1,
        status=Status.CALLBACK,
        message="stopped on a part of the rows",
    )
    return history.iterate(phase, theta, phase.objective.terms, result.fall), result


def _result(result, history, patience):
    """Return the SolverResult, the Iterate that is the result of the fit, and details for Trained."""
    was_stopped = result.status is Status.CALLBACK and not (patience and patience.has_ended)
    details = {"n_iterations": history.n_iterations, "was_stopped": was_stopped}
    iterate = history.end()
    if patience is not None:
        iterate = patience.best
        result = replace(result, x=iterate.theta, fun=iterate.objective)
        details |= {"kept": iterate.number, "outvoted": patience.outvotes_penalties}
    iterate.n_evaluations = history.n_evaluations
    return result, iterate, details
