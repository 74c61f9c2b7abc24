"""What the fits of all these tests have in common."""

import pytest


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Few rows of fixed noise make short fits; more of them serve accuracy alone."""
    monkeypatch.setattr("skae._objective.noise._MIN_DRAWN_ROWS", 600)
