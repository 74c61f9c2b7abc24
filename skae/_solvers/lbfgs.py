"""L-BFGS: minimise a function of a flat vector, from a start, and return a record."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from skae._solvers.result import SolverResult, Status


@dataclass(frozen=True)
class LBFGS:
    """SciPy's L-BFGS-B, without bounds, on an objective divided by its unit, so that tolerances are relative.

    Parameters
    ----------
    max_iter, max_fun : int
        Caps on iterations and evaluations.

    tol : float
        Converged when objective / unit fell by less than this in the last `n_iter_no_change` iterations, or when
        the gradient is zero. The gradient's largest entry is no measure of convergence: it shrinks with the number of
        parameters, and with every change of variables.

    n_iter_no_change : int
        Iterations over which the fall is measured.

    maxcor : int
        Corrections kept; about 2 maxcor + 5 doubles a parameter.

    precision : float
        Relative rounding of the objective. The search also stops when the objective fell by less than 64 times as much
        in the last `n_iter_no_change` iterations; one iteration is no evidence, as steps differ in length.
    """

    max_iter: int
    max_fun: int
    tol: float
    n_iter_no_change: int
    maxcor: int
    precision: float

    def minimize(self, objective, theta0, callback=None):
        """Return the SolverResult of `objective`, a callable theta -> Evaluation with a `unit`.

        `callback(theta, evaluation, fall, n_evaluations)` is called after every iteration, and may raise StopIteration
        to stop there. `fall` is that of SolverResult. Raises ValueError if the objective is not finite at theta0.
        """
        search = _Search(objective, callback, self.n_iter_no_change, self.status_after)
        options = {
            "maxiter": self.max_iter,
            "maxfun": self.max_fun,
            "maxcor": self.maxcor,
            "gtol": 0,
            "ftol": 0,
        }
        result = minimize(
            search.evaluate, theta0, jac=True, method="L-BFGS-B", callback=search.end_iteration, options=options
        )
        if not search.has_reported:  # no iteration improved on the start, which is the first iterate then
            with suppress(StopIteration):
                search.report()
        theta, value, gradient = result.x, result.fun, result.jac
        if all(np.isfinite(part).all() for part in (theta, value, gradient)):
            # SciPy may give the value of a trial point that it went back from, or of one that was not finite.
            theta, value, gradient = search.iterate
        status, fall = self._status(result, search, _largest(gradient)), search.fall
        # SciPy's references to it may be circular, and the objective's buffers would outlive the search.
        search.release()
        return SolverResult(
            theta=theta,
            value=float(value * objective.unit),
            gradient_norm=_largest(gradient),
            fall=fall,
            n_iter=max(1, int(result.nit)),
            n_evaluations=search.n_evaluations,
            status=status,
        )

    def status_after(self, value, fall):
        """Return the Status of a search whose value fell by so much in a whole window, or None if it is to go on."""
        if fall < self.tol:
            return Status.CONVERGED
        if fall <= 64 * self.precision * max(abs(value), 1):
            return Status.PRECISION
        return None

    def _status(self, result, search, gradient_norm):
        if gradient_norm == 0:
            return Status.CONVERGED
        if search.status is not None:
            return search.status
        if result.status == 0:
            return Status.PRECISION
        if result.status == 1:
            return Status.MAX_ITER if result.nit >= self.max_iter else Status.MAX_FUN
        return Status.LINE_SEARCH


class _Search:
    """The state of one run: the latest trial point, and the point from which the current line search starts."""

    def __init__(self, objective, callback, n_iter_no_change, has_ended):
        self._objective = objective
        self._callback = callback
        self._n_iter_no_change, self._has_ended = n_iter_no_change, has_ended
        self._origin = self._origin_evaluation = None
        self._trial = self._trial_evaluation = None
        self._trial_is_finite = True
        self._values = []
        self.n_evaluations = 0
        self.status = None
        self.has_reported = False

    @property
    def iterate(self):
        """The latest iterate: theta, and value and gradient in the objective's unit."""
        return self._origin

    @property
    def fall(self):
        """How far the value fell in the last iterations."""
        return float(self._values[0] - self._values[-1]) if self._values else 0.0

    def evaluate(self, theta):
        evaluation = self._objective(theta)
        with np.errstate(over="ignore"):
            value = np.divide(evaluation.value, self._objective.unit)
            gradient = evaluation.gradient / self._objective.unit
        self.n_evaluations += 1
        self._trial_is_finite = bool(np.isfinite(value) and np.isfinite(gradient).all())
        if not self._trial_is_finite and self._origin is not None:
            return self._substitute(theta)
        if not self._trial_is_finite:
            raise not_finite_at_start(self._objective.unit)
        # SciPy's theta is a live buffer.
        self._trial, self._trial_evaluation = (theta.copy(), value, gradient), evaluation
        if self._origin is None:
            self._origin, self._origin_evaluation = self._trial, evaluation
            self._values.append(value)
        return value, gradient

    def _substitute(self, theta):
        """Return a value and a gradient in place of those that are not finite.

        The line search interpolates values and slopes, so it cannot use an infinite trial point. It gets those of
        a parabola through its origin that has its minimum at a tenth of the step, and tries there next.
        """
        origin, value, gradient = self._origin
        descent = -(gradient @ (theta - origin))
        return value + 4 * descent, -9 * gradient

    def release(self):
        """Drop the references to the objective and to all points."""
        self._objective = self._callback = None
        self._origin = self._origin_evaluation = self._trial = self._trial_evaluation = None

    def end_iteration(self, intermediate_result):
        # SciPy reports a step as successful even where the objective is infinite or higher than before.
        if not self._trial_is_finite or self._trial[1] > self._origin[1]:
            self.status = Status.LINE_SEARCH
            raise StopIteration
        self._origin, self._origin_evaluation = self._trial, self._trial_evaluation
        self._values.append(self._origin[1])
        del self._values[: -self._n_iter_no_change - 1]
        self.report()
        if len(self._values) > self._n_iter_no_change:
            self.status = self._has_ended(self._origin[1], self.fall)
        if self.status is not None:
            raise StopIteration

    def report(self):
        self.has_reported = True
        if self._callback is None:
            return
        try:
            self._callback(self._origin[0], self._origin_evaluation, self.fall, self.n_evaluations)
        except StopIteration:
            self.status = Status.CALLBACK
            raise


def not_finite_at_start(unit):
    """Return the error of a search whose objective is not finite at its start."""
    return ValueError(
        f"The objective, in units of {unit:.3g}, is not finite at the start: "
        "X is on too large or too small a scale. Scale X first, for example with StandardScaler."
    )


def _largest(gradient):
    return float(np.max(np.abs(gradient), initial=0))
