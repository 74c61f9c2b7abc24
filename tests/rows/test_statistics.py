"""Statistics of rows, against NumPy's weighted formulas and PCA."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from skae._rows import blocks, statistics
from skae._rows.blocks import rows_of
from skae._rows.principal_axes import principal_axes
from skae._rows.statistics import column_means, scale_about
from skae._rows.threads import SERIAL as ONE

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=[None, 20], ids=["one block", "many blocks"])
def data(request, rng, monkeypatch):
    """Rows and weights, in one block or in blocks of three rows."""
    if request.param:
        monkeypatch.setattr(blocks, "_BLOCK_ENTRIES", request.param)
    return rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6)) + 3, rng.uniform(size=40)


def test_column_means(data):
    X, weights = data
    np.testing.assert_allclose(column_means([rows_of(X)], weights, ONE), np.average(X, axis=0, weights=weights))
    both = np.vstack([X, X**2])
    expected = np.average(both, axis=0, weights=np.tile(weights, 2))
    np.testing.assert_allclose(column_means([rows_of(X), rows_of(X**2)], weights, ONE), expected)


@pytest.mark.parametrize("wide", [False, True], ids=["tall", "wide"])
def test_principal_axes_diagonalise_the_covariance(data, wide):
    X, weights = data
    if wide:
        X, weights = X.T.copy(), weights[: X.shape[1]]
    covariance = np.cov(X.T, aweights=weights, ddof=0)
    rows = rows_of(X)
    variances, axes, total = principal_axes(rows, weights, column_means([rows], weights, ONE), ONE, min(X.shape))
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-12)
    np.testing.assert_allclose((axes.T * variances) @ axes, covariance, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(total, np.trace(covariance))


@pytest.mark.parametrize("shape", [(40, 6), (6, 15), (10, 10)], ids=["tall", "wide", "square"])
def test_principal_axes_are_those_of_PCA(shape, rng):
    """With integer weights, and rows repeated for PCA."""
    X, counts = rng.standard_normal(shape) * np.arange(1, shape[1] + 1) + 3, rng.integers(1, 4, shape[0])
    repeated = np.repeat(X, counts, axis=0)
    variances, axes, _ = principal_axes(rows_of(X), counts.astype(float), repeated.mean(axis=0), ONE, max(shape))
    assert axes.shape == (min(shape), shape[1])
    rank = min(shape[0] - 1, shape[1])
    pca = PCA(rank).fit(repeated)
    np.testing.assert_allclose(variances[:rank], pca.explained_variance_ * (1 - 1 / len(repeated)), rtol=1e-8)
    np.testing.assert_allclose(variances[rank:], 0, atol=1e-12)
    assert np.all((variances >= 0) & (variances <= variances[0]))
    np.testing.assert_allclose(np.abs(np.sum(axes[:rank] * pca.components_, axis=1)), 1, rtol=1e-8)


@pytest.mark.parametrize("count", [1, 4, 5, 19, 20])
@pytest.mark.parametrize("shape", [(50, 20), (20, 50)], ids=["tall", "wide"])
def test_the_first_principal_axes_alone(shape, count, rng):
    X, weights = rng.standard_normal(shape) * np.geomspace(1, 9, shape[1]) - 2, rng.uniform(1, 2, shape[0])
    mean = np.average(X, axis=0, weights=weights)
    variances, axes, total = principal_axes(rows_of(X), weights, mean, ONE, count)
    _, values, rows = np.linalg.svd(np.sqrt(weights / weights.sum())[:, None] * (X - mean), full_matrices=False)
    np.testing.assert_allclose(variances, values[:count] ** 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(total, np.sum(values**2))
    np.testing.assert_allclose(axes @ axes.T, np.eye(count), atol=1e-12)
    found = values[:count] > 1e-6 * values[0]
    np.testing.assert_allclose(np.abs(np.sum(axes * rows[:count], axis=1))[found], 1)


@every_dtype
@pytest.mark.parametrize("n_samples", [3, 8, 40])
def test_principal_axes_without_variance_are_orthonormal_too(n_samples, dtype, rng):
    """Of data of rank two at most, in any number of rows."""
    X = (rng.standard_normal((n_samples, 2)) @ rng.standard_normal((2, 8)) + 1).astype(dtype)
    count, weights = min(X.shape), np.ones(n_samples)
    variances, axes, _ = principal_axes(rows_of(X), weights, column_means([rows_of(X)], weights, ONE), ONE, count)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(axes @ axes.T, np.eye(count), atol=tolerance)
    np.testing.assert_allclose(variances[2:], 0, atol=tolerance * variances[0])


@pytest.mark.parametrize("unit", [1e-90, 1e-8, 1, 1e8, 1e90])
def test_scale_is_the_root_mean_square(data, unit):
    X, weights = data[0] * unit, data[1]
    expected = unit * np.sqrt(np.average((data[0] - 2) ** 2, axis=0, weights=weights).mean())
    np.testing.assert_allclose(scale_about([rows_of(X)], weights, np.full(6, 2 * unit), ONE), expected)


def test_the_scale_of_several_draws_is_that_of_all_their_rows(rng):
    X, weights, mean = rng.standard_normal((2, 20, 3)) * [[[1]], [[5]]], rng.uniform(size=20), np.ones(3)
    expected = np.sqrt(np.average((np.vstack(X) - 1) ** 2, axis=0, weights=np.tile(weights, 2)).mean())
    np.testing.assert_allclose(scale_about([rows_of(draw) for draw in X], weights, mean, ONE), expected)


@every_dtype
@pytest.mark.parametrize("value", [0, 0.1, 1e-300, 1e6])
def test_the_scale_of_constant_data_is_zero(value, dtype):
    X, weights = np.full((7, 3), value, dtype), np.arange(1, 8) / 3
    assert scale_about([rows_of(X)], weights, column_means([rows_of(X)], weights, ONE), ONE) == 0


@every_dtype
@pytest.mark.parametrize("steps", [1, 14, 1000])
def test_a_few_steps_of_the_dtype_are_data(steps, dtype, rng):
    """About a mean of a million, where a step is 2^-4 in float32 and 2^-33 in float64."""
    step = 2.0 ** (-4 if dtype == np.float32 else -33)
    multiples = steps * rng.integers(-1, 2, (100, 3))
    X, weights = (1e6 + step * multiples).astype(dtype), np.ones(100)
    scale = scale_about([rows_of(X)], weights, column_means([rows_of(X)], weights, ONE), ONE)
    np.testing.assert_allclose(scale, step * np.sqrt(multiples.var(axis=0).mean()), rtol=0.02)


@every_dtype
@pytest.mark.parametrize("make", [np.asarray, csr_array], ids=["dense", "sparse"])
def test_constant_columns_add_nothing_to_the_scale(make, dtype, rng):
    X, weights = rng.standard_normal((100, 4)).astype(dtype), rng.uniform(1, 2, 100)
    expected = np.sqrt(
        np.average((X - np.average(X, axis=0, weights=weights)) ** 2, axis=0, weights=weights)[2:].sum() / 4
    )
    X[:, :2] = 1e6 / 3, 0
    data = make(X)
    np.testing.assert_allclose(
        scale_about([rows_of(data)], weights, column_means([rows_of(data)], weights, ONE), ONE), expected, rtol=1e-5
    )


def test_ordinary_data_pay_no_pass_for_constant_columns(monkeypatch, rng):
    monkeypatch.delattr(statistics, "_are_constant")
    X, weights = np.column_stack([rng.standard_normal((50, 3)) + 1e6, np.zeros(50)]).astype(np.float32), np.ones(50)
    assert scale_about([rows_of(X)], weights, column_means([rows_of(X)], weights, ONE), ONE) > 0


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_the_scale_of_sparse_rows(density, rng):
    """Those not stored are zeros; a column without them may lie far from zero."""
    X, weights = (rng.uniform(size=(30, 5)) < density) * (1e7 + rng.standard_normal((30, 5))), rng.uniform(size=30)
    X[:, 0] = 1e7 + rng.standard_normal(30)
    mean = np.average(X, axis=0, weights=weights)
    expected = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights).mean())
    np.testing.assert_allclose(scale_about([rows_of(csr_array(X))], weights, mean, ONE), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("size", "dtype"), [(1e155, np.float64), (1e300, np.float64), (1e20, np.float32), (1e-155, float), (1e-20, "f")]
)
def test_data_whose_products_leave_the_range(size, dtype, rng):
    X, weights = (size * rng.uniform(1, 2, (20, 3))).astype(dtype), np.ones(20)
    with pytest.raises(ValueError, match=r"X is on the scale of .*e[+-]\d.*range of float(32|64)"):
        scale_about([rows_of(X)], weights, column_means([rows_of(X)], weights, ONE), ONE)


@pytest.mark.parametrize(("constant", "dtype"), [(1e4, np.float32), (1e12, np.float64)])
def test_a_large_constant_column_does_not_hide_the_others(constant, dtype, rng):
    signal = 1e-3 * rng.standard_normal((100, 3))
    X, weights = np.hstack([np.full((100, 1), constant), signal]).astype(dtype), np.ones(100)
    assert scale_about([rows_of(X)], weights, column_means([rows_of(X)], weights, ONE), ONE) > 1e-4
