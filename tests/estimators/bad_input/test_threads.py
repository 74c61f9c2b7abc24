"""Fits and encodings in two threads at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info


def test_two_threads_fit_two_estimators(Autoencoder, X, make):
    def fit(seed):
        return make(Autoencoder, max_iter=30, random_state=seed).fit(X).transform(X)

    before = threadpool_info()
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(fit, range(6)))
    for seed, codes in enumerate(threaded):
        assert_array_equal(codes, fit(seed))
    assert threadpool_info() == before


def test_two_threads_transform_with_one_estimator(Autoencoder, X, fitted):
    estimator, rows = fitted(Autoencoder), np.random.default_rng(0).uniform(size=(20_000, X.shape[1]))
    with ThreadPoolExecutor(2) as pool:
        for codes in pool.map(estimator.transform, [rows] * 6):
            assert_array_equal(codes, estimator.transform(rows))
