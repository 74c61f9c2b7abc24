"""Forty rows, each of the autoencoders, and small estimators of them, fitted or not."""

from functools import cache

import numpy as np
import pytest

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder

N_SAMPLES, N_FEATURES, N_COMPONENTS = 40, 4, 3


@cache
def rows():
    X = np.random.default_rng(0).uniform(size=(N_SAMPLES, N_FEATURES))
    X[:, 3] = X[:, 0] + X[:, 1]
    X /= X.max()
    X.flags.writeable = False
    return X


def make_estimator(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": N_COMPONENTS, "max_iter": 15, "random_state": 0, **parameters})


@cache
def fitted_estimator(Autoencoder):
    return make_estimator(Autoencoder).fit(rows())


@pytest.fixture(
    params=[AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder],
    ids=lambda Autoencoder: Autoencoder.__name__,
)
def Autoencoder(request):
    """Each of them, unless a test names its own."""
    return request.param


@pytest.fixture
def X():
    """Rows in [0, 1], (40, 4), of rank 3; read-only."""
    return rows()


@pytest.fixture
def make():
    """A function that makes an estimator of three units and few iterations: `make(Autoencoder, **parameters)`."""
    return make_estimator


@pytest.fixture
def fitted():
    """A function that returns the estimator of a class, fitted to X."""
    return fitted_estimator


@pytest.fixture
def method_of():
    """A function that returns a method of an estimator: of a new one for a fit, of a fitted one for all others."""

    def method_of(Autoencoder, name):
        estimator = make_estimator(Autoencoder) if name.startswith("fit") else fitted_estimator(Autoencoder)
        return getattr(estimator, name)

    return method_of
