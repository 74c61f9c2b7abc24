"""A stochastic search: Adam on minibatches, with new noise in each, and the running mean of its iterates.

The expectation over the noise is what it minimises, where L-BFGS needs fixed draws, which many parameters fit noise and
all. One set of draws is fixed as well: on it the running mean is compared, step sizes are chosen, and the search is
found to have converged, so that none of this is a matter of luck.

References
----------
D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015. B. T. Polyak and A. B. Juditsky,
"Acceleration of stochastic approximation by averaging", SIAM Journal on Control and Optimization 30, 1992.
"""

from itertools import islice

import numpy as np

from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._solvers.lbfgs import not_finite_at_start
from skae._solvers.result import SolverResult, Status
from skae._solvers.solver import Solver
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start, theta_of

# Rows of a minibatch; rows of an iteration, and of the fixed draws, at least.
_BATCH_ROWS, _ITERATION_ROWS = 100, 4000

# The step sizes that are tried, and for how many steps. The variables of the search make them independent of the unit
# of X. On MNIST, one layer of logistic units takes 0.05 and relu 0.01, and a deep tanh net diverges above 0.005.
_RATES, _TRIAL_STEPS = (0.05, 0.02, 0.01, 0.005, 0.001), 50

# The step size is halved after an iteration that falls by less than this share of tol, or of the default tol if that is
# less, but not twice in a row. A search ends when its iterations fall by half as much.
_SLOW, _USUAL_TOL = 0.2, 1e-3


class StochasticSearch(Solver):
    """Adam on minibatches with fresh noise, whose iterates are averaged."""

    name = "adam"

    def why_not(self, problem):
        if problem.noise is None or problem.noise.prepared is None:
            return "it is for inputs that are corrupted anew in every step"
        return None

    def solve(self, problem, context):
        return _Run(problem.with_draws(_ITERATION_ROWS), context).search()


class Adam:
    """Adam's iterates, and their running mean.

    Parameters
    ----------
    theta : ndarray of shape (n_parameters,)
        The start.

    rate : float
        Step size.

    Attributes
    ----------
    theta, mean : ndarray of shape (n_parameters,)
        The iterate, and the mean of the latest ones.
    """

    _FIRST, _SECOND, _TINY, _MEMORY = 0.9, 0.999, 1e-10, 0.99

    def __init__(self, theta, rate):
        self.theta, self.mean, self.rate = theta.copy(), theta.copy(), rate
        self._first, self._second = np.zeros((2, len(theta)))
        self._n_steps = 0

    def step(self, gradient):
        """Move against a gradient of about unit size, which is used up as scratch."""
        self._n_steps += 1
        self._first *= self._FIRST
        self._first += (1 - self._FIRST) * gradient
        self._second *= self._SECOND
        gradient *= gradient
        gradient *= 1 - self._SECOND
        self._second += gradient
        step = np.sqrt(self._second, out=gradient)
        step += self._TINY
        np.divide(self._first, step, out=step)
        # Both moments start at zero.
        step *= self.rate * np.sqrt(1 - self._SECOND**self._n_steps) / (1 - self._FIRST**self._n_steps)
        self.theta -= step
        memory = min(self._MEMORY, (1 + self._n_steps) / (10 + self._n_steps))
        self.mean *= memory
        self.mean += (1 - memory) * self.theta

    def go_back(self, theta):
        """Go on from a point with half the step size."""
        self.theta[...] = self.mean[...] = theta
        self.rate /= 2
        if not np.isfinite(self._second).all():
            self._first[...] = self._second[...] = 0
            self._n_steps = 0


class _Run:
    """One run: an Adam, the objectives of its minibatches and of the fixed draws, and the values there."""

    def __init__(self, problem, context):
        self._problem, self._context, self._rng = problem, context, context.rng
        layout = Layout(problem.architecture)
        variables, offset = search_variables(problem, layout)
        self._start = (
            fresh_start(problem, layout, variables, context.rng, context.axes)
            if context.start is None
            else theta_of(context.start, problem, layout, variables, offset)
        )

        def objective(part):
            return objective_class(part)(part, variables, offset=offset, threads=context.threads)

        self._n_rows = len(problem.targets)
        self._n_steps = max(self._n_rows, _ITERATION_ROWS) // _BATCH_ROWS
        self._on_fixed = objective(problem)
        self._on_batch = objective(problem.batch(np.zeros(_BATCH_ROWS, dtype=int), self._rng))
        self._on_batch.mean_code_memory = Adam._MEMORY

    def search(self):
        """Search until the fixed draws no longer gain, or a cap or a watcher ends it; return the SolverResult."""
        history, limits, unit = self._context.history, self._context.limits, self._problem.loss_unit
        theta, evaluation = self._start, self._evaluated(self._start)
        values = [evaluation.value / unit]
        if not np.isfinite(values).all():
            raise not_finite_at_start(unit)
        if self._context.start is not None:
            history.consider_start(**self._point(theta, evaluation))
        adam, was_slow, status = self._adam_of_best_rate(), True, None
        while status is None:
            self._descend(adam, self._n_steps, self._rng)
            mean = self._evaluated(adam.mean)
            fall = values[-1] - mean.value / unit
            if fall > 0:
                theta, evaluation = adam.mean.copy(), mean
            was_slow = not (was_slow or fall >= _SLOW * min(limits.tol, _USUAL_TOL))
            if was_slow:
                adam.go_back(theta)
            values = [*values[-limits.n_iter_no_change :], evaluation.value / unit]
            status = self._recorded(theta, evaluation, values)
        return SolverResult(
            status,
            theta,
            evaluation.value,
            float(np.max(np.abs(evaluation.gradient))) / unit,
            values[0] - values[-1],
            history.n_iterations,
            history.n_evaluations,
        )

    def _recorded(self, theta, evaluation, values):
        """Report an iterate to the history; return the Status with which the search ends there, or None."""
        history, limits, fall = self._context.history, self._context.limits, values[0] - values[-1]
        try:
            history.add(**self._point(theta, evaluation), fall=fall, n_rows=self._n_rows)
        except StopIteration:
            return Status.CALLBACK
        if len(values) > limits.n_iter_no_change and (status := limits.status_after(values[-1], fall)):
            return status
        if history.n_iterations >= limits.max_iter:
            return Status.MAX_ITER
        return Status.MAX_FUN if history.n_evaluations >= limits.max_fun else None

    def _point(self, theta, evaluation):
        return {"terms": evaluation.terms, "parameters_of": lambda: self._on_fixed.parameters(theta, evaluation)}

    def _evaluated(self, theta):
        self._context.history.n_rows_evaluated += self._n_rows
        return self._on_fixed(theta)

    def _adam_of_best_rate(self):
        """Return the Adam that got lowest in a few steps, which all step sizes take on the same rows and noise."""
        seed, lowest, best = int(self._rng.integers(2**63)), np.inf, None
        for rate in _RATES:
            adam = Adam(self._start, rate)
            self._descend(adam, min(_TRIAL_STEPS, self._n_steps), np.random.default_rng(seed))
            value = self._evaluated(adam.mean).value
            if best is not None and np.isfinite(lowest) and not value < lowest:
                break
            lowest, best = value if np.isfinite(value) else np.inf, adam
        return best

    def _descend(self, adam, n_steps, rng):
        for rows in islice(self._batches(rng), n_steps):
            self._on_batch.go_on_with(self._problem.batch(rows, rng))
            with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are no progress
                adam.step(self._on_batch(adam.theta).gradient / self._problem.loss_unit)
        # One evaluation is of all fixed draws.
        self._context.history.n_rows_evaluated += n_steps * _BATCH_ROWS // len(self._problem.inputs)

    def _batches(self, rng):
        """Yield indices of rows, each row once a pass, or as often as its weight says on average."""
        weights = self._problem.weights
        shares, are_equal = weights / weights.sum(), np.all(weights == weights[0])
        waiting = np.empty(0, dtype=int)
        while True:
            while len(waiting) < _BATCH_ROWS:
                order = rng.permutation(self._n_rows) if are_equal else rng.choice(self._n_rows, self._n_rows, p=shares)
                waiting = np.append(waiting, order)
            yield waiting[:_BATCH_ROWS]
            waiting = waiting[_BATCH_ROWS:]
