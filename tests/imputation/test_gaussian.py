"""The linear autoencoder by expectation-maximisation, against conditional means by brute force and known optima."""

import tracemalloc
from unittest import mock

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from skae._imputation import gaussian
from skae._imputation.gaussian import GaussianRounds, conditional_means


def some_rows(n_samples=40, n_features=5, seed=0):
    """Correlated rows with every kind of pattern: nothing missing, all missing, one pattern twice."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) @ rng.normal(size=(n_features, n_features)) + 3
    X[rng.random(X.shape) < 0.4] = np.nan
    X[0], X[1], X[2] = 1.0, np.nan, np.where(np.isnan(X[3]), np.nan, 0.5)
    return X


def rounds_of(Z, alpha, weights=None, n_rounds=500):
    weights = np.ones(len(Z)) if weights is None else weights
    start = GaussianRounds(np.where(np.isnan(Z), np.nanmean(Z, axis=0), Z))
    return start.run(Z, weights, alpha, n_rounds, 1e-12)


@pytest.mark.parametrize("batch_entries", [1, gaussian._BATCH_ENTRIES])
def test_conditional_means_and_covariances_by_brute_force(batch_entries):
    Z, rng = some_rows(), np.random.default_rng(1)
    root = rng.normal(size=(5, 5))
    covariance, mean, weights = root @ root.T + np.eye(5), rng.normal(size=5), rng.uniform(1, 2, len(Z))
    expected, total = Z.copy(), np.zeros((5, 5))
    for row, weight in zip(expected, weights, strict=True):
        m, o = np.flatnonzero(np.isnan(row)), np.flatnonzero(~np.isnan(row))
        slopes = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        row[m] = mean[m] + slopes @ (row[o] - mean[o])
        total[np.ix_(m, m)] += weight * (covariance[np.ix_(m, m)] - slopes @ covariance[np.ix_(o, m)])
    with mock.patch.object(gaussian, "_BATCH_ENTRIES", batch_entries):
        filled, covariances = conditional_means(Z, mean, np.linalg.inv(covariance), weights)
    np.testing.assert_allclose(filled, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(covariances, total, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(filled[~np.isnan(Z)], Z[~np.isnan(Z)])


def test_many_rows_of_one_pattern_need_no_more_memory_than_the_rows(monkeypatch):
    """A matrix of the pattern for each row would be 24 MB, and the rows are 0.6 MB."""
    monkeypatch.setattr(gaussian, "_BATCH_ENTRIES", 2**16)
    Z = np.random.default_rng(0).normal(size=(2000, 40))
    Z[:, 1:] = np.nan
    tracemalloc.start()
    conditional_means(Z, np.zeros(40), np.eye(40), np.ones(2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * Z.nbytes


def test_a_column_that_depends_on_an_observed_one_is_regressed_on_it():
    """The maximum-likelihood estimates of T. W. Anderson (1957); the filled rows alone have too small a variance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y = 2 * x + rng.normal(size=60)
    seen = rng.random(60) < 0.6
    Z = np.column_stack([x, np.where(seen, y, np.nan)])
    state = rounds_of(Z, alpha=1e-10)
    regression = LinearRegression().fit(x[seen, None], y[seen])
    np.testing.assert_allclose(state.filled[~seen, 1], regression.predict(x[~seen, None]), rtol=1e-6)
    slope, noise = regression.coef_[0], np.mean((y[seen] - regression.predict(x[seen, None])) ** 2)
    expected = np.var(x) * np.array([[1, slope], [slope, slope**2]]) + np.diag([0, noise])
    np.testing.assert_allclose(state.covariance, expected, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_what_is_filled_is_its_own_reconstruction(alpha):
    Z = some_rows()
    state = rounds_of(Z, alpha)
    autoencoder = state.autoencoder(alpha)
    missing = np.isnan(Z)
    np.testing.assert_allclose(autoencoder.reconstruct(state.filled)[missing], state.filled[missing], atol=1e-8)
    again, converged = state.fill(autoencoder, Z, None, 1, 1e-3)
    np.testing.assert_allclose(again, state.filled, atol=1e-8)
    assert converged


def test_without_missing_entries_it_is_the_linear_denoising_autoencoder():
    """Its optimum for Gaussian noise of variance alpha is S (S + alpha I)^-1, S the covariance of the rows."""
    Z = np.random.default_rng(0).normal(size=(50, 3)) @ np.diag([3.0, 1.0, 0.3])
    covariance, deviations = np.cov(Z.T, ddof=0), Z - Z.mean(axis=0)
    expected = Z.mean(axis=0) + deviations @ np.linalg.solve(covariance + 0.2 * np.eye(3), covariance)
    autoencoder = rounds_of(Z, 0.2).autoencoder(0.2)
    np.testing.assert_allclose(autoencoder.reconstruct(Z), expected, atol=1e-10)


def test_weights_are_repetitions():
    Z = some_rows()
    times = np.random.default_rng(3).integers(1, 4, len(Z))
    weighted, repeated = rounds_of(Z, 0.1, times.astype(float)), rounds_of(np.repeat(Z, times, axis=0), 0.1)
    np.testing.assert_allclose(np.repeat(weighted.filled, times, axis=0), repeated.filled, atol=1e-8)
