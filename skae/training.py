"""One training run: from validated data and parts to parameters, by way of a centred and scaled objective."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from sklearn.utils import gen_batches

from skae import closed_form
from skae.approach import approach
from skae.early_stopping import Patience
from skae.moments import column_means, mean_over_rows, principal_axes, scale_about
from skae.monitoring import Iterate, Outcome, Trace
from skae.network import block_rows, output
from skae.objective import Objective
from skae.parameters import CentredVariables, Layout, Parameters, glorot
from skae.projection import ProjectedObjective, why_not_projectable
from skae.rows import Dense, less
from skae.solvers import SolverResult
from skae.threads import row_threads

# Principal axes with less than this share of the largest variance are noise, not a start.
_AXIS_SHARE = 1e-6

# Columns of real data are correlated: along the leading axes the inputs are a few times longer than the root mean
# square of their entries. Settled by the objective reached on MNIST, USPS and digits: shallow nets gain from it,
# deep ones hardly depend on it.
_LEADING_SPREAD = 4.0

# Where the mean of the inputs is longer than twice their spread, intercepts would cost digits: then the rows themselves
# are centred, block by block, which takes a pass over X.
_NEAR = 4.0

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
    """What came of a problem.

    Attributes
    ----------
    outcome : Outcome

    result : SolverResult
        How the solver came to it.

    scale : float
        Root mean square of what X deviates from its mean.

    trivial : bool
        Whether all rows have the same code or reconstruction, to rounding, though they differ.

    kept : int or None
        The iteration that held-out rows chose; 0 is a warm start itself.

    outvoted : bool
        Whether they thereby undid what the penalties were at.
    """

    outcome: Outcome
    result: SolverResult
    scale: float
    trivial: bool
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
        """Whether the solver ended on finite values."""
        result = self.result
        return bool(np.isfinite([result.fun, result.gradient_norm]).all() and np.isfinite(result.x).all())


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

    search : object with minimize(objective, theta0, callback)
        What searches if there is no closed form.

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
    scale = scale_about([problem.X], problem.weights, problem.mean, threads)
    if solver in _WITHOUT_SEARCH:
        result, kept = _solved(problem, watchers, threads, scale)
        details = {}
    else:
        result, kept, details = _searched(
            problem, solver, search, watchers, threads, scale, held_out, start=start, init=init, rng=rng
        )
    trivial = scale > 0 and _says_nothing(problem, kept.parameters, scale)
    return Trained(kept.outcome(), result, scale, trivial, **details)


def _solved(problem, watchers, threads, scale):
    """Return the closed form's SolverResult and its only Iterate."""
    parameters, terms, result = closed_form.solve(problem, threads)
    parameters = parameters.about(row_offset(problem.mean, scale))
    trace = Trace("svd", lambda theta: parameters, None, watchers)
    details = result.x, result.fun, terms, result.gradient_norm, result.n_evaluations
    with suppress(StopIteration):
        trace.add(*details)
    return result, Iterate(trace, 1, *details)


def _searched(problem, solver, search, watchers, threads, scale, held_out, **where):
    """Return a search's SolverResult, the Iterate that it is to end with, and what held-out rows say, for Trained."""
    reference = _reference(problem, scale, threads)
    objective, theta, offset = _prepared(problem, _OBJECTIVES[solver], search, threads, scale, reference, **where)
    home = row_offset(problem.mean, scale)
    loss_of, patience = None, None
    if held_out is not None:
        loss_of = partial(held_out.loss, problem.architecture, threads)
        patience = Patience(held_out.patience, search.tol * reference, reference)
        watchers = [patience, *watchers]

    def parameters_at(theta):
        with np.errstate(over="ignore", invalid="ignore"):
            return Parameters(*objective.parameters(theta), offset).about(home)

    trace = Trace(solver, parameters_at, loss_of, watchers)
    weighs_start = patience is not None and where["start"] is not None
    if weighs_start:  # to go on may be no better than to stay
        value, gradient = objective(theta)
        norm = np.abs(gradient).max() / objective.reference
        patience.consider(Iterate(trace, 0, theta, value, objective.terms, norm, 1))

    def callback(theta, value, gradient_norm, n_evaluations):
        trace.add(theta, value, objective.terms, gradient_norm, n_evaluations)

    result = search.minimize(objective, theta, callback)
    trace.let_go()
    if patience is None:
        last = result.x, result.fun, objective.terms, result.gradient_norm, result.n_evaluations
        return result, Iterate(trace, len(trace.loss_curve), *last), {}
    best = patience.best
    best.n_evaluations = result.n_evaluations + weighs_start
    result = replace(result, x=best.theta, fun=best.objective, gradient_norm=best.gradient_norm)
    return result, best, {"kept": best.number, "outvoted": patience.outvotes_penalties}


def _prepared(problem, objective_class, search, threads, scale, reference, *, start, init, rng):
    """Return the objective of a search, where it starts, and what the objective subtracts from its inputs."""
    layout = Layout(problem.architecture, objective_class.n_layers)
    variables, offset = _variables(problem, layout, scale, threads)
    if start is None:
        theta = _initial_theta(problem, layout, variables, init, rng, threads)
    else:
        theta = variables.from_parameters(_flatten(layout, start.about(offset)))
    make_objective = partial(objective_class, offset=offset, reference=reference, threads=threads)
    if objective_class is Objective and scale:
        options = {} if start is None else {"n_parts": 0}
        variables, theta = approach(
            problem, variables, theta, make_objective, search, offset=offset, threads=threads, rng=rng, **options
        )
    return make_objective(problem, variables), theta, offset


def _variables(problem, layout, scale, threads):
    """Return the variables to search in, and what the objective is to subtract from its inputs."""
    mean, input_scale = problem.mean, scale
    if problem.is_corrupted:
        mean = column_means(problem.draws, problem.weights, threads)
        input_scale = scale_about(problem.draws, problem.weights, mean, threads)
    variables = centred_variables(layout, problem.architecture, input_scale or 1.0, scale or 1.0)
    offset = row_offset(mean, input_scale)
    if not offset.any():
        # The first layer's inputs are centred as those of the others are, in the variables alone.
        variables = variables.moved(mean)
    return variables, offset


def row_offset(mean, scale):
    """Return what to subtract from rows before a product, (n_features,): their mean, or nothing if that is small."""
    with np.errstate(over="ignore"):
        is_small = mean @ mean <= _NEAR * len(mean) * scale**2
    return np.zeros_like(mean) if is_small else mean


def _says_nothing(problem, parameters, scale):
    """Whether the codes differ by less than half of their digits, or the reconstructions by as little of X's spread."""
    architecture, link = problem.architecture, problem.architecture.loss.link
    layers = architecture.layers(parameters.weights, parameters.intercepts)
    X, offset = problem.X, parameters.offset.astype(problem.X.dtype)
    half = np.sqrt(np.finfo(X.dtype).eps)
    first, constant = None, np.array([True, True])
    with np.errstate(over="ignore", invalid="ignore"):
        # The first few rows nearly always differ; all need to be looked at, not at once.
        for rows in gen_batches(X.shape[0], max(16, block_rows(architecture.widths) // 8)):
            codes = output(layers[: architecture.depth], less(X[rows], offset))
            results = codes, link.forward(output(layers[architecture.depth :], Dense(codes)))
            first = [part[0].copy() for part in results] if first is None else first
            spreads = [np.abs(part - start).max() for part, start in zip(results, first, strict=True)]
            constant &= np.array(spreads) <= half * np.array([np.abs(first[0]).max(), scale])
            if not constant.any():
                return False
    return True


def _reference(problem, scale, threads):
    """What a perfect reconstruction gains over that by the mean; 1.0 where that is nothing, or out of range."""
    loss = problem.architecture.loss
    gain = mean_over_rows(lambda block: loss.divergence(block, problem.mean), problem.X, problem.weights, threads)
    return gain if scale and 0 < gain < np.inf else 1.0


def centred_variables(layout, architecture, input_scale, output_scale):
    """The solver's variables: every layer sees inputs that are about centred and of unit spread.

    A layer's output has the unit of its input if its activation is homogeneous, and no unit otherwise; the last
    layer's raw output has that of X if the link is homogeneous.
    """
    hidden = architecture.activations[:-1]
    units, means, spreads = [input_scale], [0.0], [_LEADING_SPREAD]
    for activation in hidden:
        units.append(units[-1] if activation.homogeneous else 1.0)
        mean, spread = _typical_output(activation)
        means.append(units[-1] * mean)
        spreads.append(spread)
    units.append(output_scale if architecture.loss.link.homogeneous else 1.0)

    ratios = [unit / input_unit for input_unit, unit in pairwise(units)]
    scales = [ratio / spread for ratio, spread in zip(ratios, spreads, strict=True)]
    if architecture.tied:
        # A tied matrix decodes too: larger than one it would start with far too large reconstructions.
        scales = [min(scales[0], 1.0), *scales[1 : architecture.depth], *ratios[architecture.depth :]]
    offsets = [
        np.full(width, mean) if mean else None for mean, width in zip(means, architecture.layer_widths, strict=False)
    ]
    return CentredVariables(layout, scales, units[1:], offsets)


def _typical_output(activation):
    """Mean and standard deviation of the outputs for standard normal pre-activations, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    weights /= weights.sum()
    outputs = activation.forward(nodes)
    mean = weights @ outputs
    return round(float(mean), 12), float(np.sqrt(weights @ (outputs - mean) ** 2))


def _initial_theta(problem, layout, variables, init, rng, threads):
    weights = [glorot(shape, rng) for shape in layout.weight_shapes]
    if init == "pca":
        _fill_with_principal_axes(weights[0], problem, threads)
    return variables.start(weights, problem.architecture.loss.link.inverse(problem.mean))


def _fill_with_principal_axes(W, problem, threads):
    """Put the principal axes in the first columns, each of the length that Glorot's range gives on average."""
    variances, axes, _ = principal_axes(problem.X, problem.weights, problem.mean, threads, W.shape[1])
    count = int(np.sum(variances > _AXIS_SHARE * variances[0]))
    W[:, :count] = axes[:count].T * np.sqrt(2 * W.shape[0] / sum(W.shape))


def _flatten(layout, parameters):
    flat = np.empty(layout.size)
    weights, intercepts = layout.views(flat)
    for W, value in zip(layout.distinct(weights), parameters.weights, strict=False):
        W[...] = value
    for b, value in zip(intercepts, parameters.intercepts, strict=False):
        b[...] = value
    return flat
