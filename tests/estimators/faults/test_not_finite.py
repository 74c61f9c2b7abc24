"""An objective that is not finite: the solver steps back from it, or the fit warns or raises."""

from itertools import count

import numpy as np
import pytest
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Evaluation, Objective
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status

NOT_FINITE = {
    "infinite value": lambda value, gradient: (np.inf, gradient),
    "NaN value": lambda value, gradient: (np.nan, gradient),
    "minus infinity": lambda value, gradient: (-np.inf, gradient),
    "NaN gradient": lambda value, gradient: (value, np.full_like(gradient, np.nan)),
    "one infinite slope": lambda value, gradient: (value, np.where(np.arange(len(gradient)) == 0, np.inf, gradient)),
}


def independent_loss(estimator, data):
    """J of an AutoencoderTransformer with logistic code and squared error, from its public attributes."""
    (W, V), (b, c) = estimator.coefs_, estimator.intercepts_
    reconstructed = 1 / (1 + np.exp(-(data @ W + b))) @ V + c
    error = 0.5 * ((reconstructed - data) ** 2).sum(axis=1).mean()
    return error + 0.5 * (estimator.alpha_ @ [(W**2).sum(), (V**2).sum()])


def every_or_some(some, every):
    """Parametrise by a few numbers of evaluations, and by all of them in the slow run."""
    numbers = [pytest.param(some, id="some"), pytest.param(every, id="all", marks=pytest.mark.slow)]
    return pytest.mark.parametrize("numbers", numbers)


@every_or_some((2, 6, 11), range(2, 12))
@pytest.mark.parametrize("kind", NOT_FINITE)
def test_one_evaluation_that_is_not_finite_is_stepped_back_from(
    numbers, solver, kind, X, make, corrupt_evaluations, monkeypatch
):
    for number in numbers:
        with monkeypatch.context() as patch:
            corrupt_evaluations(patch, NOT_FINITE[kind], lambda call, number=number: call == number)
            estimator = make(AutoencoderTransformer, solver=solver, max_iter=20).fit(X)
        assert estimator.loss_ == pytest.approx(independent_loss(estimator, X), rel=1e-9)
        assert np.all(np.diff(estimator.loss_curve_) <= 0)
        assert estimator.loss_ < 0.9 * estimator.loss_curve_[0]


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_an_objective_that_is_not_finite_at_the_start(
    Autoencoder, solver, kind, X, make, corrupt_evaluations, monkeypatch
):
    corrupt_evaluations(monkeypatch, NOT_FINITE[kind], lambda call: True)
    with pytest.raises(ValueError, match="not finite at the start"):
        make(Autoencoder, solver=solver).fit(X)


def test_minibatches_that_are_not_finite_at_the_start(X, make, monkeypatch):
    monkeypatch.setattr(Objective, "value", lambda self, theta: Evaluation(np.inf, None, np.array([np.inf])))
    with pytest.raises(ValueError, match="not finite at the start"):
        make(AutoencoderTransformer, solver="kfac").fit(X)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
@pytest.mark.parametrize("number", [1, 3])
def test_lbfgs_goes_on_from_the_best_mean_before_minibatches_are_not_finite(number, slope, X, make, monkeypatch):
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 500)
    evaluate, values, calls = Objective.__call__, [], count(1)

    def corrupt(self, theta):
        result = evaluate(self, theta)
        if len(self._problem.targets) == len(X):
            values.append(result.terms.sum())
        elif next(calls) >= number:
            result = result._replace(gradient=np.full_like(result.gradient, slope))
        return result

    monkeypatch.setattr(Objective, "__call__", corrupt)
    estimator = make(AutoencoderTransformer, solver="kfac", max_iter=40).fit(X)
    assert np.isfinite(estimator.loss_curve_).all()
    assert np.all(np.diff(estimator.loss_curve_) <= 0)
    assert estimator.loss_ == pytest.approx(independent_loss(estimator, X), rel=1e-9)
    assert estimator.loss_ < 0.9 * values[0]


def assert_ends_in_a_warning(estimator, X):
    with pytest.warns(ConvergenceWarning, match="line search|max_fun"):
        estimator.fit(X)
    assert all(np.isfinite(part).all() for part in [*estimator.coefs_, *estimator.intercepts_])
    assert estimator.loss_ == estimator.loss_curve_[-1]


@pytest.mark.covering(number=[*range(2, 9)], kind=[*NOT_FINITE], solver=["lbfgs", "varpro"])
def test_an_objective_that_is_finite_no_more(number, kind, solver, X, make, corrupt_evaluations, monkeypatch):
    corrupt_evaluations(monkeypatch, NOT_FINITE[kind], lambda call: call >= number)
    assert_ends_in_a_warning(make(AutoencoderTransformer, solver=solver, max_iter=50, tol=0), X)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOT_FINITE)
def test_an_objective_of_each_estimator_that_is_finite_no_more(
    Autoencoder, kind, solver, X, make, corrupt_evaluations, monkeypatch
):
    for number in range(2, 9):
        with monkeypatch.context() as patch:
            corrupt_evaluations(patch, NOT_FINITE[kind], lambda call, number=number: call >= number)
            assert_ends_in_a_warning(make(Autoencoder, solver=solver, max_iter=50, tol=0), X)


class Beyond:
    """A function that is finite on one side alone of what would be on the way to its minimum."""

    unit = 1.0

    def __init__(self, function, is_beyond, elsewhere):
        self._function, self._is_beyond, self._elsewhere = function, is_beyond, elsewhere

    def __call__(self, x):
        value, gradient = self._function(x)
        if self._is_beyond(x):
            value, gradient = self._elsewhere, np.full_like(gradient, np.nan)
        return Evaluation(value, gradient, np.array([value]))


@pytest.mark.parametrize("elsewhere", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("seed", range(5))
def test_a_minimum_beyond_a_wall_is_not_said_to_be_reached(seed, elsewhere):
    """The search ends on the near side, with the value that the function has there, and does not call it a success."""
    rng = np.random.default_rng(seed)
    factors = 10 ** rng.uniform(-2, 2, size=5)
    start = rng.uniform(1, 3, size=5)
    edge = rng.uniform(0.1, 0.9) * start.sum()
    function = Beyond(lambda x: (0.5 * factors @ x**2, factors * x), lambda x: x.sum() < edge, elsewhere)
    result = LBFGS(100, 1000, 1e-8, 10, 10, np.finfo(float).eps).minimize(function, start)
    value, gradient, *_ = function(result.theta)
    assert np.isfinite(value)
    assert result.value == value
    assert result.gradient_norm == np.abs(gradient).max()
    assert result.status is Status.LINE_SEARCH


# A result that SciPy calls a success.

RESULTS = {
    "infinite value": ("fun", np.inf),
    "minus infinity": ("fun", -np.inf),
    "NaN value": ("fun", np.nan),
    "NaN variable": ("x", np.nan),
    "infinite variable": ("x", np.inf),
    "NaN slope": ("jac", np.nan),
    "infinite slope": ("jac", np.inf),
}


@pytest.fixture
def scipy_returns(monkeypatch):
    """A function that lets SciPy's minimizer return one of RESULTS, as a success, after so many iterations."""

    def returns(name, n_iterations):
        where, value = RESULTS[name]

        def minimize(function, x0, *, callback, **options):
            fun, jac = function(x0)
            for _ in range(n_iterations):
                callback(OptimizeResult(x=x0, fun=fun))
            result = {"fun": fun, "x": x0.copy(), "jac": jac}
            result[where] = value if where == "fun" else np.where(np.arange(len(x0)) == 1, value, result[where])
            return OptimizeResult(**result, status=0, success=True, nit=n_iterations, nfev=1, message="CONVERGENCE")

        monkeypatch.setattr("skae._solvers.lbfgs.minimize", minimize)

    return returns


@pytest.mark.covering(
    name=[*RESULTS],
    Autoencoder=[AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder],
    solver=["varpro", "lbfgs"],
    n_iterations=[0, 3],
)
def test_a_result_that_is_not_finite_is_refused(
    name, Autoencoder, solver, n_iterations, X, make, scipy_returns, surroundings_of
):
    scipy_returns(name, n_iterations)
    estimator = make(Autoencoder, solver=solver)
    surroundings = surroundings_of(estimator)
    with pytest.raises(ValueError, match=r"not finite.*Scale X"):
        estimator.fit(X)
    surroundings.assert_unchanged()


@pytest.mark.covering(name=[*RESULTS], solver=["varpro", "lbfgs"], n_iterations=[0, 3])
def test_early_stopping_returns_a_finite_iterate(name, solver, n_iterations, X, make, scipy_returns):
    scipy_returns(name, n_iterations)
    estimator = make(AutoencoderTransformer, solver=solver, early_stopping=True, validation_fraction=0.3).fit(X)
    assert np.isfinite(estimator.transform(X)).all()
    assert np.isfinite(estimator.loss_)
