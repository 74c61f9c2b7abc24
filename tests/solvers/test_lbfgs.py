"""L-BFGS: known minima, every way to stop, walls where the objective is not finite, units, callbacks."""

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from skae._objective.joint import Evaluation
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status

EPS = float(np.finfo(np.float64).eps)


class Function:
    """A function of theta -> Evaluation with a unit, and a record of its arguments."""

    def __init__(self, function, unit=1.0):
        self.function = function
        self.unit = unit
        self.asked = []

    def __call__(self, theta):
        self.asked.append(theta.copy())
        value, gradient = self.function(theta)
        return Evaluation(value * self.unit, gradient * self.unit, np.array([value * self.unit]))


class Recorder:
    """A callback that keeps its arguments, as they were and as they are."""

    def __init__(self, error=None, after=0):
        self.thetas, self.copies, self.values, self.falls = [], [], [], []
        self.error = error
        self.after = after

    def __call__(self, theta, evaluation, fall, n_evaluations):
        self.thetas.append(theta)
        self.copies.append(theta.copy())
        self.values.append(evaluation.value)
        self.falls.append(fall)
        if self.error and len(self.values) == self.after:
            raise self.error


def solver(max_iter=1000, max_fun=10000, tol=1e-12, n_iter_no_change=10, maxcor=10, precision=0):
    return LBFGS(max_iter, max_fun, tol, n_iter_no_change, maxcor, precision)


def rosenbrock(x):
    return rosen(x), rosen_der(x)


def rosenbrock_upside_down(x):
    return rosen(x), -rosen_der(x)


def quadratic(x):
    """With its minimum, -2, at (1, 2, 3)."""
    H = np.array([[4.0, 1, 0], [1, 3, 1], [0, 1, 20]])
    residual = x - [1, 2, 3]
    return 0.5 * residual @ H @ residual - 2, H @ residual


START = np.array([-1.2, 1, 0.5])


def test_minimum_of_a_quadratic():
    result = solver(tol=0).minimize(Function(quadratic), START)
    np.testing.assert_allclose(result.theta, [1, 2, 3], rtol=1e-9)
    np.testing.assert_allclose(result.value, -2, rtol=1e-14)


def test_minimum_of_rosenbrock_s_function():
    result = solver().minimize(Function(rosenbrock), START)
    np.testing.assert_allclose(result.theta, 1, rtol=1e-6)
    assert result.status in (Status.CONVERGED, Status.PRECISION)
    assert result.gradient_norm == np.abs(rosen_der(result.theta)).max() <= 1e-7


@pytest.mark.parametrize("maxcor", [2, 10])
def test_the_options_are_those_of_scipy(maxcor):
    options = {"maxiter": 25, "maxfun": 60, "maxcor": maxcor, "gtol": 0, "ftol": 0}
    expected = minimize(rosenbrock, START, jac=True, method="L-BFGS-B", options=options)
    result = solver(25, 60, tol=0, maxcor=maxcor).minimize(Function(rosenbrock), START)
    np.testing.assert_array_equal(result.theta, expected.x)
    assert (result.value, result.n_iter, result.n_evaluations) == (expected.fun, expected.nit, expected.nfev)


WAYS_TO_STOP = {
    Status.CONVERGED: (solver(tol=1e-3), rosenbrock),
    Status.PRECISION: (solver(tol=0, precision=1e-5), rosenbrock),
    Status.MAX_ITER: (solver(max_iter=4), rosenbrock),
    Status.MAX_FUN: (solver(max_fun=6), rosenbrock),
    Status.LINE_SEARCH: (solver(), rosenbrock_upside_down),
    Status.CALLBACK: (solver(), rosenbrock),
}


@pytest.mark.parametrize("status", Status, ids=str)
def test_every_way_to_stop(status):
    lbfgs, function = WAYS_TO_STOP[status]
    objective = Function(function)
    callback = Recorder(StopIteration, after=3) if status is Status.CALLBACK else None
    result = lbfgs.minimize(objective, START, callback)
    value, gradient = function(result.theta)
    assert result.status is status
    assert result.value == value
    assert result.gradient_norm == np.abs(gradient).max()
    assert result.n_evaluations == len(objective.asked)
    assert (result.fall < lbfgs.tol) == (status in (Status.CONVERGED, Status.LINE_SEARCH))


def test_caps():
    assert solver(max_iter=4).minimize(Function(rosenbrock), START).n_iter == 4
    result = solver(max_fun=6).minimize(Function(rosenbrock), START)
    assert 6 < result.n_evaluations < 6 + 20, "the cap is looked at after a line search, of at most 20 evaluations"


def falls(recorder, window):
    """The fall of the value over each window of iterations, the start included."""
    values = np.array([rosen(START), *recorder.values])
    return values[:-window] - values[window:]


@pytest.mark.parametrize("window", [1, 4, 10])
@pytest.mark.parametrize("tol", [1.0, 1e-2, 1e-5])
def test_it_stops_at_the_first_window_with_a_fall_below_the_tolerance(tol, window):
    recorder = Recorder()
    result = solver(tol=tol, n_iter_no_change=window).minimize(Function(rosenbrock), START, recorder)
    fell = falls(recorder, window)
    assert fell[-1] < tol
    assert (fell[:-1] >= tol).all()
    assert result.fall == fell[-1]
    assert result.n_iter == window + len(fell) - 1


def test_one_short_step_is_no_end():
    """Where one iteration gains little the next one may gain much: a window of 1 stops far from the minimum."""
    hasty, patient = (
        solver(tol=0.05, n_iter_no_change=window).minimize(Function(rosenbrock), START).value for window in (1, 10)
    )
    assert hasty > 0.3
    assert patient < 0.01


def test_without_a_tolerance_it_goes_on_to_the_rounding():
    result = solver(tol=0, n_iter_no_change=1).minimize(Function(rosenbrock), START)
    assert result.value < 1e-20
    assert result.gradient_norm < 1e-9


def test_it_stops_at_the_first_window_with_a_fall_below_64_times_the_precision():
    recorder = Recorder()
    result = solver(tol=0, precision=1e-5, n_iter_no_change=3).minimize(Function(rosenbrock), START, recorder)
    fell, values = falls(recorder, 3), np.array(recorder.values)[2:]
    limits = 64e-5 * np.maximum(values, 1)
    assert fell[-1] <= limits[-1]
    assert (fell[:-1] > limits[:-1]).all()
    assert result.status is Status.PRECISION


@pytest.mark.parametrize("level", [-1000.0, 1000.0])
def test_the_rounding_of_an_objective_is_that_of_its_size(level):
    """Minus the log-likelihood of large counts is far below zero, and rounds like a value as far above."""
    recorder, objective = Recorder(), Function(lambda x: (rosen(x) + level, rosen_der(x)))
    result = solver(tol=0, n_iter_no_change=3, precision=1e-7).minimize(objective, START, recorder)
    values = np.array([rosen(START) + level, *recorder.values])
    fell, limits = values[:-3] - values[3:], 64e-7 * np.abs(values[3:])
    assert result.status is Status.PRECISION
    assert fell[-1] <= limits[-1]
    assert (fell[:-1] > limits[:-1]).all()


def test_after_a_failed_line_search_the_callback_sees_the_start():
    recorder = Recorder()
    result = solver().minimize(Function(rosenbrock_upside_down), START, recorder)
    assert recorder.values == [result.value] == [rosen(START)]
    np.testing.assert_array_equal(recorder.thetas, [START])


def test_a_failed_line_search_ends_where_it_began():
    result = solver().minimize(Function(rosenbrock_upside_down), START)
    np.testing.assert_array_equal(result.theta, START)


def test_a_start_at_the_minimum_has_converged():
    result = solver().minimize(Function(quadratic), np.array([1.0, 2, 3]))
    assert (result.status, result.n_iter, result.n_evaluations) == (Status.CONVERGED, 1, 1)


# Where the objective is not finite.


def log_barrier(x):
    """sum x - log x, least at 1, for positive x."""
    if x.min() <= 0:
        return np.nan, np.full_like(x, np.nan)
    return np.sum(x - np.log(x)), 1 - 1 / x


def infinite_barrier(x):
    return (np.inf, np.zeros_like(x)) if x.min() <= 0 else log_barrier(x)


def barrier_of_the_gradient(x):
    value, gradient = log_barrier(np.maximum(x, 1e-9))
    return value, gradient if x.min() > 0 else gradient * np.inf


def exponential(x):
    """sum exp(x) - x, least at 0; it overflows at 710, and far below 0, where it is straight, steps grow."""
    with np.errstate(over="ignore"):
        return np.sum(np.exp(x) - x), np.exp(x) - 1


@pytest.mark.parametrize(
    ("function", "start", "minimum"),
    [
        (log_barrier, [5.0, 0.2, 50], 1),
        (infinite_barrier, [5.0, 0.2, 50], 1),
        (barrier_of_the_gradient, [5.0, 0.2, 50], 1),
        (log_barrier, [1e-4, 1e3, 1], 1),
        (exponential, [-3000.0, 3, -20], 0),
        (exponential, [50.0, 0, -700], 0),
    ],
)
def test_an_objective_that_is_not_finite_everywhere_is_minimised(function, start, minimum):
    recorder, objective = Recorder(), Function(function)
    result = solver().minimize(objective, np.array(start), recorder)
    np.testing.assert_allclose(result.theta, minimum, atol=1e-6)
    assert result.status in (Status.CONVERGED, Status.PRECISION)
    assert result.gradient_norm < 1e-8
    assert result.value == function(result.theta)[0]
    assert np.isfinite(recorder.values).all()
    assert np.all(np.diff(recorder.values) <= 0)
    assert not all(np.isfinite([value, *gradient]).all() for value, gradient in map(function, objective.asked))


def test_after_an_infinite_point_it_tries_a_tenth_of_the_step():
    """The first step of L-BFGS-B has length 1: from 1/2 it goes to -1/2, beyond the barrier."""

    def steep(x):
        value, gradient = infinite_barrier(10 * x)
        return value, 10 * gradient

    objective = Function(steep)
    solver(max_iter=1).minimize(objective, np.array([0.5]))
    np.testing.assert_allclose(np.ravel(objective.asked)[:3], [0.5, -0.5, 0.4], rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_start_that_is_not_finite(value):
    with pytest.raises(ValueError, match="not finite at the start"):
        solver().minimize(Function(lambda x: (value, x)), START)
    with pytest.raises(ValueError, match="not finite at the start"):
        solver().minimize(Function(lambda x: (1.0, value * np.ones(3))), START)


# Units and callbacks.


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**30])
def test_the_unit_of_the_objective_does_not_matter(unit):
    """Powers of two, so that not even the rounding changes."""
    plain, scaled = Recorder(), Recorder()
    expected = solver().minimize(Function(rosenbrock), START, plain)
    result = solver().minimize(Function(rosenbrock, unit), START, scaled)
    np.testing.assert_array_equal(scaled.copies, plain.copies)
    np.testing.assert_array_equal(scaled.values, np.array(plain.values) * unit)
    assert result.value == expected.value * unit
    assert result.gradient_norm == expected.gradient_norm
    assert result.n_evaluations == expected.n_evaluations


def test_the_callback_sees_every_iterate_and_its_value():
    recorder, start = Recorder(), START.copy()
    result = solver().minimize(Function(rosenbrock, 8.0), start, recorder)
    assert len(recorder.values) == result.n_iter > 10
    assert recorder.values == [8 * rosen(theta) for theta in recorder.thetas]
    values = [8 * rosen(START), *recorder.values]
    assert recorder.falls == [(values[max(0, number - 10)] - values[number]) / 8 for number in range(1, len(values))]
    np.testing.assert_array_equal(recorder.thetas, recorder.copies)
    np.testing.assert_array_equal(recorder.thetas[-1], result.theta)
    np.testing.assert_array_equal(start, START)


def test_the_callback_gets_the_evaluation_of_its_iterate():
    seen = []
    solver().minimize(Function(rosenbrock), START, lambda *arguments: seen.append(arguments[:2]))
    assert len(seen) > 10
    for theta, evaluation in seen:
        assert (evaluation.value, evaluation.terms) == (rosen(theta), rosen(theta))
        np.testing.assert_array_equal(evaluation.gradient, rosen_der(theta))


def test_stop_iteration_stops_at_that_iterate():
    recorder = Recorder(StopIteration, after=3)
    result = solver().minimize(Function(rosenbrock), START, recorder)
    assert result.n_iter == len(recorder.values) == 3
    np.testing.assert_array_equal(result.theta, recorder.copies[-1])
    assert result.value == recorder.values[-1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_other_errors_in_a_callback_propagate(error):
    with pytest.raises(error):
        solver().minimize(Function(rosenbrock), START, Recorder(error, after=2))
