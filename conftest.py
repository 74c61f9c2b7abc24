"""Data that the tests share, read-only; figures without a display; one BLAS thread, for the sake of other workers."""

import importlib.util
import os

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from threadpoolctl import threadpool_limits

threadpool_limits(1)
os.environ.setdefault("MPLBACKEND", "Agg")
# What these modules and pages need.
NEEDS = {
    "skae/plotting": "matplotlib",
    "skae/_cluster": "distributed",
    "skae/dask": "distributed",
    "tests/cluster": "distributed",
    "tests/remote_problems.py": "distributed",
    "doc/user_guide/files.rst": "h5py",
}
collect_ignore = [path for path, package in NEEDS.items() if not importlib.util.find_spec(package)]


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
