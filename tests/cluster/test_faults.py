"""Workers that die in a fit."""

import os
import signal

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer, SparseAutoencoder
from skae._cluster import rows
from skae._cluster.rows import Workers
from skae.dask import DaskAutoencoder


@pytest.fixture
def own_cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


def collection():
    return da.from_array(load_digits().data[:400] / 16, chunks=(100, 64))


def after_calls(monkeypatch, n_calls, method, act):
    """Let `act` happen just before a call of a method on the workers."""
    total, calls = Workers.total, []

    def counting(self, name, *arguments):
        calls.append(name)
        if calls.count(method) == n_calls and name == method:
            act()
        return total(self, name, *arguments)

    monkeypatch.setattr(Workers, "total", counting)


@pytest.mark.parametrize("method", [pytest.param("statistics_at", marks=pytest.mark.slow), "gradients_after"])
def test_a_worker_that_dies_does_not_change_the_fit(own_cluster, monkeypatch, method):
    estimator = SparseAutoencoder(5, random_state=0)
    with Client(own_cluster) as client:
        expected = DaskAutoencoder(estimator, client).fit(collection()).estimator_
        pids = client.run(os.getpid)

        def kill():
            os.kill(pids.pop(min(pids)), signal.SIGKILL)

        after_calls(monkeypatch, 4, method, kill)
        fitted = DaskAutoencoder(estimator, client).fit(collection()).estimator_
        assert len(pids) == 1
    np.testing.assert_allclose(fitted.loss_, expected.loss_, rtol=1e-8)
    np.testing.assert_allclose(fitted.coefs_[0], expected.coefs_[0], rtol=1e-6, atol=1e-8)


def test_without_workers_the_fit_ends_with_an_error(own_cluster, monkeypatch):
    monkeypatch.setattr(rows, "_LOOK_SECONDS", 0.2)
    with Client(own_cluster) as client:
        autoencoder = DaskAutoencoder(AutoencoderTransformer(5, random_state=0), client).fit(collection())
        before = autoencoder.estimator_

        def retire():
            own_cluster.scale(0)
            own_cluster.sync(own_cluster._correct_state)
            while client.nthreads():
                pass

        after_calls(monkeypatch, 3, "gradients_after", retire)
        with pytest.raises(RuntimeError, match="no workers left"):
            autoencoder.fit(collection())
    assert autoencoder.estimator_ is before
