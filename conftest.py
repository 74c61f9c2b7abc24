"""Data that the tests share, read-only, and one BLAS thread, so that workers do not fight over the cores."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from threadpoolctl import threadpool_limits

threadpool_limits(1)


def _read_only(X):
    X.flags.writeable = False
    return X


@pytest.fixture(scope="session")
def digits():
    """The digits, (1797, 64), scaled to [0, 1]."""
    return _read_only(load_digits().data / 16)


@pytest.fixture(scope="session")
def cancer():
    """The breast cancer measurements, (569, 30), standardised."""
    X = load_breast_cancer().data
    return _read_only((X - X.mean(axis=0)) / X.std(axis=0))


@pytest.fixture
def rng():
    return np.random.default_rng(0)
