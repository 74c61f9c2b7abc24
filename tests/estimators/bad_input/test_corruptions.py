"""Corruptions that return something unusable."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skae import DenoisingAutoencoder
from skae.corruption import Blur


def write(X, rng):
    X[0] = 0
    return X


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (lambda X, rng: X[:, 1:], r"the shape that it was given, \((\d+), 4\), but returned \(\1, 3\)"),
        (lambda X, rng: X[1:], r"but returned \(\d+, 4\)"),
        (lambda X, rng: X[0], r"but returned \(4,\)"),
        (lambda X, rng: None, "must return an array of real numbers"),
        (lambda X, rng: X + 0j, "must return an array of real numbers"),
        (lambda X, rng: X * np.nan, "returned NaN or infinity"),
        (lambda X, rng: np.where(X > 0.5, np.inf, X), "returned NaN or infinity"),
        (write, "read-only and must return a copy"),
        (Blur((3, 3)), r"image_shape=\(3, 3\) has 9 pixels, but X has 4 features"),
    ],
)
def test_bad_corruption(corruption, message, X, make):
    data = X.copy()
    with pytest.raises(ValueError, match=message):
        make(DenoisingAutoencoder, corruption=corruption).fit(data)
    assert_array_equal(data, X)
    assert data.flags.writeable


def test_corruption_class_instead_of_an_object(X, make):
    with pytest.raises(ValueError, match=r"must be an object, not a class.*Blur\(\.\.\.\)"):
        make(DenoisingAutoencoder, corruption=Blur).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_corruption_of_another_dtype(dtype, X, make):
    other = {np.float32: np.float64, np.float64: np.float32}[dtype]
    estimator = make(DenoisingAutoencoder, corruption=lambda X, rng: X.astype(other)).fit(X.astype(dtype))
    assert estimator.coefs_[0].dtype == dtype
