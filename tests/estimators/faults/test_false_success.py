"""What is no success is not called one, and what converged has a small gradient."""

from itertools import count

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, SparseAutoencoder
from skae._solvers.lbfgs import LBFGS
from skae._solvers.result import Status

# A gradient that does not fit the value, and objectives that do not move.

RISING = count()
WRONG = {
    "opposite gradient": lambda value, gradient: (value, -gradient),
    "constant value": lambda value, gradient: (1.0, gradient),
    "gradient of something else": lambda value, gradient: (value, -np.abs(gradient) - 1.0),
    "value that only rises": lambda value, gradient: (float(next(RISING)), gradient),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_gradient_that_does_not_fit_the_value_is_no_success(kind, solver, X, make, corrupt_evaluations, monkeypatch):
    corrupt_evaluations(monkeypatch, WRONG[kind], lambda call: True)
    with pytest.warns(ConvergenceWarning, match="stopped before it converged"):
        make(SparseAutoencoder, solver=solver, max_iter=200).fit(X)


@pytest.mark.parametrize("cap", [{"max_iter": 2}, {"max_fun": 2, "max_iter": 100}], ids=["max_iter", "max_fun"])
def test_a_fit_that_ends_at_a_cap_says_so(Autoencoder, solver, cap, X, make):
    with pytest.warns(ConvergenceWarning, match=next(iter(cap))):
        make(Autoencoder, solver=solver, tol=0, **cap).fit(X)


# The gradient of what converged, recomputed from values of the definition, is within the tolerance.


def definition(estimator, X, weights, intercepts):
    """J of the logistic autoencoders with squared error that see X as it is, from the formulas of the model."""
    (W, V), (b, c) = weights, intercepts
    H = 1 / (1 + np.exp(-(X @ W + b)))
    J = 0.5 * ((H @ V + c - X) ** 2).sum(axis=1).mean()
    J += 0.5 * sum(alpha * (part**2).sum() for alpha, part in zip(estimator.alpha_, (W, V), strict=False))
    if isinstance(estimator, SparseAutoencoder):
        rho, r = estimator.sparsity_target, H.mean(axis=0)
        J += estimator.sparsity_weight_ * (rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r))).sum()
    if isinstance(estimator, ContractiveAutoencoder):
        J += estimator.contraction_weight_ * ((H * (1 - H)) ** 2 @ (W**2).sum(axis=0)).mean()
    return J


@pytest.mark.parametrize(
    ("Autoencoder", "strength"),
    [
        (AutoencoderTransformer, {}),
        (SparseAutoencoder, {"sparsity_weight": 0.1}),
        (ContractiveAutoencoder, {"contraction_weight": 0.1}),
    ],
)
def test_the_gradient_of_what_converged_is_small(Autoencoder, strength, solver, X, make, monkeypatch):
    minimize, seen = LBFGS.minimize, []

    def spy(self, objective, theta0, callback=None):
        seen.append((objective, minimize(self, objective, theta0, callback)))
        return seen[-1][1]

    monkeypatch.setattr(LBFGS, "minimize", spy)
    estimator = make(Autoencoder, solver=solver, max_iter=3000, tol=1e-10, alpha=1e-3, **strength).fit(X)
    objective, result = seen[-1]
    assert result.status in (Status.CONVERGED, Status.PRECISION)

    def J(theta):
        parameters = objective.parameters(theta, objective(theta)).with_offset(np.zeros(X.shape[1]))
        return definition(estimator, X, parameters.weights, parameters.intercepts)

    assert J(result.theta) == pytest.approx(estimator.loss_, rel=1e-9)
    steps = 1e-4 * np.eye(len(result.theta))
    gradient = np.array([J(result.theta + step) - J(result.theta - step) for step in steps]) / 2e-4 / objective.unit
    assert np.abs(gradient).max() <= 1e-4
    assert_allclose(np.abs(gradient).max(), result.gradient_norm, rtol=0.01, atol=1e-7)
