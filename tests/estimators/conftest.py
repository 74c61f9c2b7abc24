"""What the fits of all these tests have in common."""

import pytest

from skae._objective.problem import Problem


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Few rows of fixed noise make short fits; more of them serve accuracy alone."""
    monkeypatch.setattr("skae._objective.noise._MIN_DRAWN_ROWS", 600)


@pytest.fixture(autouse=True)
def short_iterations(monkeypatch):
    """Iterations on minibatches of few steps."""
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 5000)


@pytest.fixture
def only_fixed_draws(monkeypatch):
    """Second moments are of the fixed draws, so that all but those of minibatches are draws of the objective."""
    monkeypatch.setattr(Problem, "sample", lambda problem, rng: problem)
