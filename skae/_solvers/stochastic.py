"""A stochastic search: natural gradient steps on minibatches, then L-BFGS on all rows.

Far from a minimum the gradient of a few rows is as good a guide as that of all, at a fraction of its cost. The mean of
the iterates is compared on all rows after every iteration, which is a number of steps. L-BFGS finishes.

Inputs that are drawn anew get new noise in each minibatch, and the mean of the iterates is compared on fixed draws.
L-BFGS would need fixed draws, too, which many parameters fit noise and all: there the mean is the result. Only where
minibatches are of a fetched sample of the rows, L-BFGS follows, on draws of all of them.
"""

from dataclasses import replace

import numpy as np

from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._objective.joint import Objective
from skae._solvers.kfac import KFAC, moments_of
from skae._solvers.lbfgs import not_finite_at_start
from skae._solvers.result import SolverResult, Status
from skae._solvers.search import JointSearch
from skae._solvers.solver import Solver
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start, theta_of

# Rows of a minibatch; rows of an iteration, and of the fixed draws, at least.
_BATCH_ROWS, _ITERATION_ROWS, _DRAWN_ROWS = 250, 20_000, 4000

# Steps from one observation of the moments to the next, and from one inversion to the next.
_OBSERVATION_STEPS, _INVERSION_STEPS = 8, 40

# With fewer rows L-BFGS is sooner from the start; deep nets end far higher by it.
_MIN_ROWS, _MIN_ROWS_OF_DEEP = 2000, 500

# Steps are halved after an iteration that falls by less than this share of tol, or of the default tol if that is less.
_SLOW, _USUAL_TOL = 0.2, 1e-3

# Share of the former mean code in the one that the penalties see: a minibatch is a small sample.
_CODE_MEMORY = 0.99

# After these L-BFGS goes on, unless the inputs are drawn anew.
_GOES_ON = (Status.CONVERGED, Status.PRECISION)


class StochasticSearch(Solver):
    """K-FAC on minibatches, whose iterates are averaged, then L-BFGS over all rows."""

    name = "kfac"

    def why_not(self, problem):
        return None

    def is_worthwhile(self, problem):
        is_deep = problem.architecture.depth > 1
        return problem.is_drawn or len(problem.targets) >= (_MIN_ROWS_OF_DEEP if is_deep else _MIN_ROWS)

    def solve(self, problem, context):
        if not problem.scale:  # constant rows have no curvature, and are learned at once
            return JointSearch().solve(problem, context)
        if problem.is_drawn and problem.targets.n_fetched is None:
            return _Phase(problem.with_draws(_DRAWN_ROWS), context).search()
        if context.is_refined:
            return JointSearch().solve(problem, context)
        at_hand = problem.for_start(context.rng)
        result = _Phase(at_hand, context).search()
        # The values of a sample are not those of all rows, however the steps ended.
        if result.status not in _GOES_ON and at_hand is problem:
            return result
        return JointSearch().solve(problem, replace(context, start=context.history.latest.parameters))


class _Phase:
    """The steps on minibatches: an iterate, the objectives of a minibatch and of all rows, and the values there."""

    def __init__(self, problem, context):
        self._problem, self._context, self._rng = problem, context, context.rng
        layout = Layout(problem.architecture)
        # A layer has one factor of its inputs; what differs between columns is left to the curvature.
        self._variables, self._offset = search_variables(problem, layout, problem.targets.dtype, by_column=False)
        theta = (
            fresh_start(problem, layout, self._variables, context.rng, context.axes)
            if context.start is None
            else theta_of(context.start, problem, layout, self._variables, self._offset)
        )
        if layout.is_tied:
            # With the decoder's inputs about their mean, a tied matrix and the decoder's intercept move against each
            # other: on MNIST, with a contraction, the objective is at 3.9 where it is at 3.5 without.
            self._variables, theta = self._variables.with_plain_decoder(theta)
        self._theta, self._kfac = theta, KFAC(theta, layout, context.threads)
        options = {"offset": self._offset, "threads": context.threads}
        self._on_all = objective_class(problem)(problem, self._variables, **options)
        self._batches = _rows_of_batches(problem.targets, problem.weights, context.rng)
        self._on_batch = Objective(problem.batch(next(self._batches), self._rng), self._variables, **options)
        self._on_batch.mean_code_memory = _CODE_MEMORY

    def search(self):
        """Search until all rows no longer gain, or a cap or a watcher ends it; return the SolverResult."""
        context, history, limits = self._context, self._context.history, self._context.limits
        unit, self._evaluation = self._problem.loss_unit, self._evaluated(self._theta)
        values, was_slow, status = [self._evaluation.value / unit], True, None
        if not np.isfinite(values).all():
            raise not_finite_at_start(unit)
        if context.start is not None:
            history.consider_start(**self._point())
        self._observe(self._problem.sample(self._rng))
        while status is None:
            self._descend()
            evaluation = self._evaluated(self._kfac.mean)
            fall = values[-1] - evaluation.value / unit
            if fall > 0:
                self._theta, self._evaluation = self._kfac.mean.copy(), evaluation
            was_slow = not (was_slow or fall >= _SLOW * min(limits.tol, _USUAL_TOL))
            if was_slow:
                self._kfac.go_on_from(self._theta)
            values = [*values[-max(limits.n_iter_no_change, self._window) :], self._evaluation.value / unit]
            status = self._recorded(values)
        return SolverResult(
            status,
            self._theta,
            self._evaluation.value,
            self._gradient_norm() if self._problem.is_drawn or status not in _GOES_ON else 0.0,
            values[0] - values[-1],
            history.n_iterations,
            history.n_evaluations,
        )

    def _gradient_norm(self):
        """Return the largest entry, in size, of the gradient at the end."""
        self._context.history.n_rows_evaluated += len(self._problem.targets)
        return float(np.max(np.abs(self._on_all(self._theta).gradient))) / self._problem.loss_unit

    @property
    def _n_steps(self):
        """Steps of an iteration."""
        return -(-max(len(self._problem.targets), _ITERATION_ROWS) // _BATCH_ROWS)

    @property
    def _window(self):
        """Iterations that make about n_iter_no_change passes over the rows."""
        n_passes = self._n_steps * _BATCH_ROWS / len(self._problem.targets)
        return max(2, round(self._context.limits.n_iter_no_change / n_passes))

    def _status_after(self, values):
        """Return the Status if the objective falls too little in a window, else None."""
        limits, window = self._context.limits, self._window
        if not self._problem.is_drawn:
            # L-BFGS can go on: the last iteration stands for the window.
            return limits.status_after(values[-1], window * (values[-2] - values[-1]))
        return limits.status_after(values[-1], values[-window - 1] - values[-1]) if len(values) > window else None

    def _recorded(self, values):
        """Report the best point to the history; return the Status with which the search ends there, or None."""
        history, limits = self._context.history, self._context.limits
        try:
            history.add(**self._point(), fall=values[0] - values[-1])
        except StopIteration:
            return Status.CALLBACK
        caps = {
            Status.MAX_ITER: history.n_iterations >= limits.max_iter,
            Status.MAX_FUN: history.n_evaluations >= limits.max_fun,
        }
        cap = next((status for status, is_hit in caps.items() if is_hit), None)
        if cap and not self._problem.is_drawn:
            return cap  # L-BFGS would have to go on
        return self._status_after(values) or cap

    def _point(self):
        theta, evaluation = self._theta, self._evaluation
        return {"terms": evaluation.terms, "parameters_of": lambda: self._on_all.parameters(theta, evaluation)}

    def _evaluated(self, theta):
        self._context.history.n_rows_evaluated += len(self._problem.targets)
        return self._on_all.value(theta)

    def _observe(self, batch):
        layers = self._on_batch.layers_at(self._kfac.theta)
        with np.errstate(over="ignore", invalid="ignore"):
            self._kfac.observe(moments_of(batch, layers, self._variables, self._offset, self._rng))

    def _descend(self):
        """Take the steps of an iteration."""
        kfac, unit = self._kfac, self._problem.loss_unit
        for number in range(self._n_steps):
            rows = next(self._batches)
            if number % _INVERSION_STEPS == 0:
                kfac.invert(self._on_batch.penalty_curvatures(kfac.theta))
            if number % _OBSERVATION_STEPS == 0:
                self._observe(self._problem.batch(rows[: self._problem.n_sampled], self._rng))
            self._on_batch.go_on_with(self._problem.batch(rows, self._rng))
            with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are no progress
                gradient = self._on_batch(kfac.theta).gradient
                gradient /= unit
                kfac.step(gradient)
        # One evaluation is of all fixed draws.
        self._context.history.n_rows_evaluated += self._n_steps * _BATCH_ROWS // len(self._problem.inputs)


def _rows_of_batches(targets, weights, rng):
    """Yield indices of rows, each row once a pass, or as often as its weight says on average."""
    waiting = np.empty(0, dtype=int)
    while True:
        for rows in targets.stretches(rng):
            order, start = _in_random_order(rows, weights, rng), 0
            while len(waiting) + len(order) - start >= _BATCH_ROWS:
                stop = start + _BATCH_ROWS - len(waiting)
                yield np.append(waiting, order[start:stop])
                waiting, start = waiting[:0], stop
            waiting = np.append(waiting, order[start:])


def _in_random_order(rows, weights, rng):
    """Return some rows, an array of indices that is overwritten, once each or as often as their weights say."""
    if weights.are_equal:
        rng.shuffle(rows)
        return rows
    if not len(rows):
        return rows
    own = weights[rows]
    n_drawn = round(len(weights) * own.sum() / weights.sum())
    return rows[rng.choice(len(rows), n_drawn, p=own / own.sum())]
