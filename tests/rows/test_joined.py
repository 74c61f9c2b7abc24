"""Rows in several pieces are the rows of the pieces put together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skae._objective.noise import PreparedCorruption
from skae._rows.blocks import rows_of
from skae._rows.drawn import DrawnRows
from skae._rows.joined import JoinedRows
from skae._rows.principal_axes import principal_axes
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL
from skae.corruption import Masking

X = np.random.default_rng(0).normal(size=(30, 4)) * (np.random.default_rng(1).random((30, 4)) < 0.6)
WEIGHTS = np.linspace(1, 2, 30)
EDGES = [0, 1, 12, 30]
SLICES = [slice(None), slice(0, 1), slice(2, 9), slice(0, 14), slice(11, 13), slice(29, 30)]


@pytest.fixture(params=[np.asarray, csr_array], ids=["dense", "sparse"])
def pair(request):
    """The rows in one array, and in pieces."""
    make = request.param
    return rows_of(make(X)), JoinedRows([make(X[EDGES[i] : EDGES[i + 1]]) for i in range(3)], [5, 6, 8])


def test_shape_and_dtype(pair):
    whole, joined = pair
    assert (joined.shape, joined.dtype, len(joined)) == (whole.shape, whole.dtype, len(whole))


@pytest.mark.parametrize("rows", SLICES, ids=str)
@pytest.mark.parametrize(
    "read",
    [
        lambda rows, part: rows.dense(part),
        lambda rows, part: rows.dense(part, np.empty((30, 4))),
        lambda rows, part: rows.centred_by(np.arange(4.0), part).dense(),
        lambda rows, part: rows.squared_deviations(np.arange(4.0), part).dense(),
        lambda rows, part: rows.weighted_sum(part, WEIGHTS[part]),
        lambda rows, part: rows.weighted_squares(part, WEIGHTS[part], np.arange(4.0)),
        lambda rows, part: rows.weighted_counts(part, WEIGHTS[part]),
        lambda rows, part: rows.take(part).dense(),
    ],
)
def test_slices(pair, rows, read):
    whole, joined = pair
    assert_allclose(read(joined, rows), read(whole, rows), rtol=1e-13)


@pytest.mark.parametrize("rows", [[0], [3, 4, 28], [], range(30)], ids=str)
def test_rows_by_their_numbers(pair, rows):
    rows = np.array(rows, dtype=int)
    assert_array_equal(pair[1].take(rows).dense(), X[rows])


@pytest.mark.parametrize("size", [1, 4, 11, 100])
def test_cut_slices_are_all_rows_and_each_of_one_piece(pair, size):
    slices = pair[1].cut(size)
    assert_array_equal(np.concatenate([np.arange(30)[rows] for rows in slices]), np.arange(30))
    assert max(rows.stop - rows.start for rows in slices) <= size
    assert all(len(pair[1].pieces(rows)) == 1 for rows in slices)


def test_each_piece_has_draws_of_its_own(pair):
    """Those of the same piece on its own, or beside others."""
    joined, rng = pair[1], np.random.default_rng
    weights = np.ones(30)
    prepared = PreparedCorruption(Masking(0.5, fill=0), joined, weights)
    rows = DrawnRows(joined, prepared, (3, 0), 7)
    whole = np.array(rows.dense())
    for number, first, stop in ((5, 0, 1), (6, 1, 8), (6, 8, 12), (8, 12, 19), (8, 19, 26), (8, 26, 30)):
        chunk = (first - dict(zip((5, 6, 8), EDGES, strict=False))[number]) // 7
        assert_array_equal(whole[first:stop], prepared.corrupt(X[first:stop], rng([3, 0, number, chunk])))
    for block in SLICES:
        assert_array_equal(rows.dense(block), whole[block])
    alone = DrawnRows(JoinedRows([joined.X[2]], [8]), prepared, (3, 0), 7)
    assert_array_equal(alone.dense(), whole[12:])
    assert_allclose(rows.extremes(), [whole.min(axis=0), whole.max(axis=0)])
    assert_allclose(statistics_of([rows], weights, SERIAL).mean, whole.mean(axis=0))


def test_what_is_of_all_rows(pair):
    whole, joined = pair
    for one, other in zip(joined.extremes(), whole.extremes(), strict=True):
        assert_array_equal(one, other)
    assert_array_equal(joined.dense_columns(slice(1, 3)), X[:, 1:3])
    mean, coefficients = X.mean(axis=0), np.random.default_rng(2).normal(size=(30, 2))
    assert_allclose(joined.combine(coefficients, mean, SERIAL), (X - mean).T @ coefficients, rtol=1e-12)
    for one, other in zip(*(principal_axes(r, WEIGHTS, mean, SERIAL, 2) for r in (joined, whole)), strict=True):
        assert_allclose(one, other, rtol=1e-10)


def test_products_with_the_second_moment(pair):
    shares, mean, vector = WEIGHTS / WEIGHTS.sum(), X.mean(axis=0), np.arange(4.0)
    product, is_covariance = pair[1].second_moment_product(shares, mean, SERIAL)
    assert is_covariance
    assert_allclose(product(vector), ((X - mean) * shares[:, None]).T @ ((X - mean) @ vector), rtol=1e-12)
