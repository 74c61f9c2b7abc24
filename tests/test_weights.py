"""Weights of rows behave like the array of them, and equal ones take no memory a row."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skae._weights import Weights

VALUES = np.random.default_rng(0).uniform(0.5, 2, 20)
every = pytest.mark.parametrize("values", [VALUES, np.full(20, 0.7), np.ones(1)], ids=["uneven", "equal", "one"])


@every
def test_as_an_array(values):
    weights, n = Weights(values), len(values)
    mask = np.arange(n) % 3 == 0
    for part, expected in (
        (weights, values),
        (weights / 3.0, values / 3.0),
        (weights.select(mask), values[mask]),
        ((weights / 3.0).select(np.flatnonzero(mask)), (values / 3.0)[mask]),
        (pickle.loads(pickle.dumps(weights)), values),
    ):
        assert len(part) == len(expected)
        assert part.all()
        assert part.are_equal == (len(set(expected)) == 1)
        for rows in (slice(None), slice(2, 9), np.arange(len(expected))[::-2], np.ones(len(expected), dtype=bool)):
            assert_array_equal(part[rows], expected[rows])
            assert part[rows].flags.c_contiguous
        assert_allclose(part.sum(), expected.sum(), rtol=1e-14)


@every
def test_without_some_rows(values):
    removed = np.array([0, 3, 4, 19]) if len(values) > 1 else np.array([0])
    expected = values / 3.0
    expected[removed] = 0
    weights = (Weights(values) / 3.0).without(removed)
    for rows in (slice(None), slice(3, 4), slice(4, 15), slice(5, 5)):
        assert_array_equal(weights[rows], expected[rows])
    assert_allclose(weights.sum(), expected.sum(), rtol=1e-14, atol=1e-15)
    assert not weights.all()
    assert not weights.are_equal


def test_zeros():
    assert not Weights([0.0, 1.0]).all()
    assert_array_equal(Weights([0.0, 1.0])[:], [0, 1])


def test_equal_weights_are_one_number():
    assert len(pickle.dumps(Weights(0.5, 10**9))) < 1000
    assert len(pickle.dumps(Weights(np.full(10**5, 0.5)))) < 1000
