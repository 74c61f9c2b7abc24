"""The objective over the rows of a cluster is the one over the same rows in memory, and so are fits."""

import pickle

import cloudpickle
import dask.array as da
import numpy as np
import pytest
from distributed import Client, Future
from remote_problems import CHUNKS, N_ROWS, assert_equal, evaluate, in_chunks, make_rows, problems, random_theta
from scipy.sparse import csr_array
from sklearn.base import clone

from skae import AutoencoderTransformer, ContractiveAutoencoder, SparseAutoencoder
from skae._cluster.collections import loaded
from skae._cluster.rows import Workers
from skae._objective.joint import Objective
from skae._rows.threads import SERIAL
from skae._training.early_stopping import HeldOutDraw
from skae.dask import DaskAutoencoder
from skae.losses import ColumnLosses
from skae.losses._choice import loss_for
from skae.penalties import L1Sparsity

# Name: the estimator, and whether the last layer is eliminated.
CONFIGURATIONS = {
    "plain": (AutoencoderTransformer(5), False),
    "projected": (AutoencoderTransformer(5), True),
    "tied": (AutoencoderTransformer(5, tied_weights=True), False),
    "deep": (AutoencoderTransformer(3, hidden_layer_sizes=(6, 4), loss="cross_entropy"), False),
    "deep projected": (AutoencoderTransformer(3, hidden_layer_sizes=6, activation="tanh"), True),
    "KL": (SparseAutoencoder(7, tied_weights=True), False),
    "KL projected": (SparseAutoencoder(7), True),
    "KL deep": (SparseAutoencoder(4, hidden_layer_sizes=6, loss="poisson"), False),
    "contraction": (ContractiveAutoencoder(4, contraction_weight=0.1), False),
    "contraction deep": (ContractiveAutoencoder(3, hidden_layer_sizes=6, tied_weights=False), True),
    "L1": (AutoencoderTransformer(5, activation="relu", penalties=(L1Sparsity(0.1),)), True),
    "columns": (
        AutoencoderTransformer(4, loss=ColumnLosses([("poisson", slice(0, 9)), ("squared_error", slice(9, 64))])),
        False,
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_value_and_gradient_are_those_in_memory(client, name):
    estimator, is_projected = CONFIGURATIONS[name]
    weights = np.random.default_rng(0).uniform(0, 2, N_ROWS) * (np.arange(N_ROWS) % 7 > 0)
    there, here = problems(client, estimator, make_rows(), CHUNKS["odd"], weights)
    assert_equal(evaluate(there, is_projected, random_theta), evaluate(here, is_projected, random_theta))


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_no_chunking_matters(client, chunks, is_sparse):
    there, here = problems(client, SparseAutoencoder(7), make_rows(is_sparse), CHUNKS[chunks], None)
    assert_equal(evaluate(there, True, random_theta), evaluate(here, True, random_theta))


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(6, activation="identity", alpha=0.01),
        AutoencoderTransformer(0.6, activation="identity", alpha=0),
        AutoencoderTransformer(6),
        SparseAutoencoder(8, n_init=2),
        AutoencoderTransformer(6, tied_weights=True, init="pca"),
        AutoencoderTransformer(6, loss="cross_entropy", solver="kfac", tol=1e-4),
        ContractiveAutoencoder(6),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_fits_are_those_in_memory(client, estimator):
    X = make_rows()
    estimator = clone(estimator).set_params(random_state=0)
    there = DaskAutoencoder(estimator, client).fit(in_chunks(X, CHUNKS["even"])).estimator_
    here = clone(estimator).fit(X)
    assert there.solver_ == here.solver_
    assert there.n_components_ == here.n_components_
    np.testing.assert_allclose(there.loss_, here.loss_, rtol=1e-8 if here.solver_ == "svd" else 1e-3)
    np.testing.assert_allclose(there.code_scale_, here.code_scale_, rtol=0.05)
    if here.solver_ == "svd":
        np.testing.assert_allclose(there.reconstruct(X), here.reconstruct(X), rtol=1e-8, atol=1e-8)


def test_held_out_rows_are_those_in_memory(client, monkeypatch):
    monkeypatch.setattr("skae._rows.distinct._SMALL", 0)  # larger X is not sorted
    X, weights = make_rows(), 1.0 + np.arange(N_ROWS) % 3
    estimator = AutoencoderTransformer(6, early_stopping=True, max_iter=12, random_state=0)
    in_chunks_of_x = da.from_array(weights, chunks=(CHUNKS["odd"],))
    there = DaskAutoencoder(estimator, client).fit(in_chunks(X, CHUNKS["odd"]), sample_weight=in_chunks_of_x).estimator_
    here = clone(estimator).fit(X, sample_weight=weights)
    np.testing.assert_allclose(there.validation_loss_curve_, here.validation_loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(there.transform(X), here.transform(X), rtol=1e-5, atol=1e-7)


def test_stacked_layers_are_a_start_from_a_sample(client):
    X = in_chunks(make_rows(), CHUNKS["even"])
    curves = [
        DaskAutoencoder(
            AutoencoderTransformer(4, hidden_layer_sizes=12, solver="lbfgs", init=init, max_iter=2, random_state=0),
            client,
        )
        .fit(X)
        .estimator_.loss_curve_
        for init in ("glorot", "stacked")
    ]
    assert curves[1][0] < 0.7 * curves[0][0]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_goes_on_as_in_memory(client, monkeypatch, early_stopping):
    monkeypatch.setattr("skae._rows.distinct._SMALL", 0)  # larger X is not sorted
    X = make_rows()
    estimator = AutoencoderTransformer(6, early_stopping=early_stopping, max_iter=8, warm_start=True, random_state=0)
    there, here = DaskAutoencoder(estimator, client), clone(estimator)
    curves = [(there.fit(in_chunks(X, CHUNKS["odd"])).estimator_.loss_curve_, here.fit(X).loss_curve_) for _ in "12"]
    for one, other in curves:
        np.testing.assert_allclose(one, other, rtol=1e-8)
    assert curves[1][0][0] < curves[0][0][-1]
    with pytest.raises(ValueError, match="warm_start=True goes on with the architecture"):
        there.set_params(estimator__n_components=3).fit(in_chunks(X, CHUNKS["odd"]))


def test_integer_weights_repeat_rows(client):
    X = make_rows()
    weights = np.random.default_rng(0).integers(0, 4, N_ROWS)
    estimator = AutoencoderTransformer(5, random_state=0)
    in_weights = DaskAutoencoder(estimator, client).fit(
        in_chunks(X, CHUNKS["even"]), sample_weight=da.from_array(weights, chunks=(CHUNKS["even"],))
    )
    repeated = clone(estimator).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(in_weights.estimator_.loss_, repeated.loss_, rtol=1e-3)


def test_outliers_are_named_by_their_numbers_in_x(client):
    X = make_rows()
    X[[20, 250]] *= 1000.0
    weights = np.ones(N_ROWS)
    weights[:10] = 0
    there, here = problems(client, AutoencoderTransformer(5), X, CHUNKS["odd"], weights)
    np.testing.assert_array_equal(there.targets.firsts_of(there.outliers), [20, 250])
    np.testing.assert_array_equal(there.outliers, here.outliers)
    np.testing.assert_allclose([there.loss_unit, there.typical_scale], [here.loss_unit, here.typical_scale], rtol=1e-12)
    estimator = AutoencoderTransformer(5, tied_weights=True, tol=0.01, random_state=0)
    with pytest.warns(UserWarning, match=r"outliers \(20, 250\)"):
        DaskAutoencoder(estimator, client).fit(in_chunks(X, CHUNKS["odd"]))


def _are_futures(part):
    return isinstance(part, list) and all(isinstance(entry, Future) for entry in part)


@pytest.mark.parametrize("has_outliers", [False, True])
@pytest.mark.parametrize("solver", ["lbfgs", "varpro"])
def test_nothing_of_one_entry_a_row_comes_to_the_client(client, solver, has_outliers, monkeypatch):
    """Neither to it, in results, nor from it, in the arguments of its tasks."""
    monkeypatch.setattr("skae._objective.problem._SAMPLE_ROWS", 50)  # are fetched
    n_rows = 400_000
    X = np.random.default_rng(0).standard_normal((n_rows, 3)).astype(np.float32)
    if has_outliers:
        X[[7, 300_000]] *= 3000
    weights = da.from_array(np.random.default_rng(1).uniform(1, 2, n_rows), chunks=100_000)
    sizes, gather, submit = [], Client.gather, Client.submit

    def gathering(self, futures, *arguments, **options):
        results = gather(self, futures, *arguments, **options)
        sizes.extend(len(pickle.dumps(result)) for result in results)
        return results

    def submitting(self, function, *arguments, **options):
        given = [part for part in arguments if not (isinstance(part, Future) or _are_futures(part))]
        sizes.append(len(cloudpickle.dumps(given)))
        return submit(self, function, *arguments, **options)

    monkeypatch.setattr(Client, "gather", gathering)
    monkeypatch.setattr(Client, "submit", submitting)
    estimator = AutoencoderTransformer(2, solver=solver, early_stopping=True, max_iter=3, random_state=0)
    collection = da.from_array(X, chunks=(100_000, 3))
    DaskAutoencoder(estimator, client).fit(collection, sample_weight=weights)
    assert len(sizes) > 20
    assert max(sizes) < n_rows


@pytest.mark.parametrize("is_sparse", [False, True])
def test_places_of_rows_that_were_merged_and_held_out(client, is_sparse):
    """Rows are known by their numbers in X: here every row of X holds its own, unless it repeats one of its chunk."""
    X = np.zeros((N_ROWS, 64))
    X[:, 0] = np.where(np.arange(N_ROWS) % 5 == 4, np.arange(N_ROWS) - 1, np.arange(N_ROWS))
    X = csr_array(X) if is_sparse else X
    estimator, loss = AutoencoderTransformer(2), loss_for("squared_error", "auto", X, X, None)
    estimator._validated(X, reset=True)
    all_rows = loaded(client, in_chunks(X, (40, 100, 160)), None, estimator, loss)
    draw = HeldOutDraw(len(all_rows), 0.2, 0)
    (held_out, _), (others, weights) = all_rows.rows(draw, are_held_out=True), all_rows.rows(draw)
    assert (len(held_out), len(others)) == (48, 192)
    numbers = {}
    for rows in (held_out, others):
        every = np.arange(len(rows))
        numbers[rows] = rows.firsts_of(every)
        np.testing.assert_array_equal(rows.take(every).dense()[:, 0], numbers[rows])
    merged = np.concatenate([*numbers.values()])
    np.testing.assert_array_equal(np.sort(merged), np.flatnonzero(np.arange(N_ROWS) % 5 != 4))
    found = others.where(lambda block: others.dense(block)[:, 0] > 250, SERIAL)
    np.testing.assert_array_equal(found, np.flatnonzero(numbers[others] > 250))
    expected = np.where(numbers[others] % 5 == 3, 2.0, 1.0)
    np.testing.assert_array_equal(weights.select(np.arange(192))[:] / weights.select(np.array([0]))[0], expected)
    some = weights.without(found)
    np.testing.assert_allclose(some.sum() / weights.sum(), expected[numbers[others] <= 250].sum() / expected.sum())


def test_a_worker_of_several_threads_shares_the_rows_out(monkeypatch):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)  # the worker is in this process
    n_workers = []
    sweep = Objective._gradients

    def counting(self):
        n_workers.append(len(self._workers))
        return sweep(self)

    monkeypatch.setattr(Objective, "_gradients", counting)
    with Client(processes=False, n_workers=1, threads_per_worker=3, dashboard_address=":0") as client:
        there, here = problems(client, SparseAutoencoder(7), make_rows(), CHUNKS["odd"], None)
        actual = evaluate(there, True, random_theta)
    assert n_workers == [3]
    assert_equal(actual, evaluate(here, True, random_theta))


@pytest.mark.parametrize("n_parts", [1, 8, 9, 70])
def test_results_of_many_parts_are_added_up_in_a_tree(client, n_parts):
    addresses = list(client.nthreads()) * n_parts
    parts = [client.submit(complex, number, pure=False) for number in range(n_parts)]
    assert Workers(client, parts, addresses[:n_parts]).total("conjugate") == sum(range(n_parts))
