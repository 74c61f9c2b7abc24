"""Codes that are the same for all rows: the fit warns of them."""

import warnings

import numpy as np
import pytest

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._variables.centring import CentredVariables
from skae.penalties import L1Sparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
UNBOUNDED = [AutoencoderTransformer, DenoisingAutoencoder, ContractiveAutoencoder]  # whose code may be unbounded


def assert_warns_of_a_trivial_code(estimator, data):
    with pytest.warns(UserWarning, match="learned next to nothing"):
        estimator.fit(data)
    assert estimator.score(data) < 0.01


@pytest.mark.covering(Autoencoder=AUTOENCODERS, factor_and_alpha=[(1e-6, 1e-4), (1, 1e6)], solver=["auto", "lbfgs"])
def test_huge_weight_decay(Autoencoder, factor_and_alpha, solver, X, make):
    factor, alpha = factor_and_alpha
    assert_warns_of_a_trivial_code(make(Autoencoder, solver=solver, max_iter=500, alpha=alpha), factor * X)


@pytest.mark.covering(Autoencoder=UNBOUNDED, activation=["relu", "identity"], solver=["auto", "lbfgs"])
def test_huge_l1_penalty(Autoencoder, activation, solver, X, make):
    parameters = {"activation": activation, "penalties": (L1Sparsity(1e6),)}
    assert_warns_of_a_trivial_code(make(Autoencoder, solver=solver, max_iter=500, **parameters), X)


@pytest.mark.covering(Autoencoder=AUTOENCODERS, factor=[1e-6, 1e-4], dtype=[np.float64, np.float32], width=[1, 3, 8])
def test_tiny_data_in_every_size_of_code(Autoencoder, factor, dtype, width, X):
    """Weight decay costs more than the best reconstruction gains: a total variance of 1e-8 or less, alpha 1e-4."""
    estimator = Autoencoder(width, alpha=1e-4, random_state=0, max_iter=1000)
    assert_warns_of_a_trivial_code(estimator, (factor * X).astype(dtype))


DEAD = [("relu", -1e3), ("logistic", -1e3), ("logistic", 1e3), ("tanh", 1e3), ("softplus", -1e4)]


@pytest.mark.parametrize(("activation", "intercept"), DEAD)
def test_units_that_start_dead_or_saturated(activation, intercept, solver, X, make, monkeypatch):
    """No gradient leads away from there."""
    start = CentredVariables.start

    def saturated(self, weights, *arguments):
        theta = start(self, weights, *arguments)
        _, intercepts = self.layout.views(theta)
        intercepts[0][...] = intercept
        return theta

    monkeypatch.setattr(CentredVariables, "start", saturated)
    estimator = make(AutoencoderTransformer, activation=activation, solver=solver, alpha=0, max_iter=200)
    assert_warns_of_a_trivial_code(estimator, X)


def test_no_warning_where_the_code_is_useful(Autoencoder, X, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(Autoencoder, max_iter=2000).fit(X)
