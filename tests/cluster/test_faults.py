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
from skae._cluster.collections import loaded
from skae._cluster.rescue import Rescue
from skae._cluster.rows import Workers
from skae._rows.threads import SERIAL
from skae.dask import DaskAutoencoder
from skae.dask import _autoencoder as autoencoder_module
from skae.losses._choice import loss_for


@pytest.fixture
def own_cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


X = load_digits().data[:400] / 16


def collection():
    return da.from_array(X, chunks=(100, 64))


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


@pytest.mark.slow
def test_a_worker_that_dies_before_the_search_does_not_end_the_fit(own_cluster, monkeypatch):
    """Its blocks are nowhere for a moment."""
    estimator, load = AutoencoderTransformer(5, random_state=0), autoencoder_module.loaded
    with Client(own_cluster) as client:
        pids = client.run(os.getpid)

        def loading(*arguments):
            result = load(*arguments)
            os.kill(pids.pop(min(pids)), signal.SIGKILL)
            while len(client.nthreads()) > len(pids):
                pass
            return result

        monkeypatch.setattr(autoencoder_module, "loaded", loading)
        fitted = DaskAutoencoder(estimator, client).fit(collection()).estimator_
    np.testing.assert_allclose(fitted.loss_, AutoencoderTransformer(5, random_state=0).fit(X).loss_, rtol=1e-3)


def test_what_is_left_is_rated_without_outliers(client):
    rows = X.copy()
    rows[[20, 250]] *= 1000.0
    estimator = AutoencoderTransformer(5, random_state=0)
    estimator._validated(rows, reset=True)
    loss = loss_for("squared_error", "auto", rows, rows, None)
    data = da.from_array(rows, chunks=(100, 64))
    problem = estimator._make_problem(*loaded(client, data, None, estimator, loss).rows(), loss, None, SERIAL)
    rescue = Rescue()
    rescue.prepare(problem, len(rows))
    np.testing.assert_array_equal(rescue._sample.outliers, [20, 250])
    assert not rescue._sample.weights_of_others[:][[20, 250]].any()


@pytest.fixture
def lose_after(own_cluster, monkeypatch):
    """A function that lets the cluster lose its workers just before a call of a method on them."""
    monkeypatch.setattr(rows, "_LOOK_SECONDS", 0.2)

    def retire():
        own_cluster.scale(0)
        own_cluster.sync(own_cluster._correct_state)
        while own_cluster.scheduler_info["workers"]:
            pass

    return lambda n_calls, method: after_calls(monkeypatch, n_calls, method, retire)


def test_without_workers_before_the_first_iteration_the_estimator_is_as_before(own_cluster, lose_after):
    with Client(own_cluster) as client:
        autoencoder = DaskAutoencoder(AutoencoderTransformer(5, random_state=0), client).fit(collection())
        before = autoencoder.estimator_
        lose_after(1, "sum")
        with pytest.raises(RuntimeError, match=r"no workers left.* Start workers, and fit again."):
            autoencoder.fit(collection())
    assert autoencoder.estimator_ is before


@pytest.mark.parametrize("early_stopping", [False, True])
def test_without_workers_the_best_iterate_is_left(own_cluster, lose_after, early_stopping):
    """And a fit on other workers goes on from there."""
    estimator = AutoencoderTransformer(5, early_stopping=early_stopping, random_state=0)
    with Client(own_cluster) as client:
        whole = DaskAutoencoder(estimator, client).fit(collection()).estimator_
        lose_after(9, "gradients_after")
        autoencoder = DaskAutoencoder(estimator, client)
        with pytest.raises(RuntimeError, match=r"no workers left.* best iterate of the \d so far.*warm_start=True"):
            autoencoder.fit(collection())
        left = autoencoder.to_local()
        assert 3 < left.n_iter_ < whole.n_iter_
        np.testing.assert_allclose(left.loss_curve_, whole.loss_curve_[: left.n_iter_], rtol=1e-8)
        assert 0.2 < left.score(X) < whole.score(X)
        np.testing.assert_allclose(
            left.transform(X).std(axis=0).mean(), whole.transform(X).std(axis=0).mean(), rtol=0.3
        )
        assert left.describe()["explained"] == pytest.approx(left.score(X), abs=0.02)
        assert "lost its workers" in left.describe()["warning"]
        own_cluster.scale(2)
        client.wait_for_workers(2)
        autoencoder.estimator.set_params(warm_start=True)
        went_on = autoencoder.fit(collection()).estimator_
    assert went_on.n_iter_ < whole.n_iter_
    assert went_on.loss_curve_[0] < left.loss_curve_[-1]
    np.testing.assert_allclose(went_on.score(X), whole.score(X), atol=0.01)
