"""Sparse X gives what dense X gives, stays as it is, and is never made dense as a whole."""

import gc
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.noise import PreparedCorruption
from skae._rows.blocks import rows_of
from skae._rows.factors import Dense, OffsetSparse
from skae.corruption import CORRUPTIONS, Blur, Corruption, Masking
from skae.metrics import feature_errors, neg_reconstruction_error, reconstruction_r2

FORMATS = [
    kind(format_)
    for format_ in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
    for kind in (
        lambda format_: getattr(sparse, f"{format_}_array"),
        lambda format_: getattr(sparse, f"{format_}_matrix"),
    )
]
MODELS = {
    "svd": lambda **options: AutoencoderTransformer(3, activation="identity", **options),
    "varpro": lambda **options: AutoencoderTransformer(3, **options),
    "lbfgs": lambda **options: AutoencoderTransformer(3, solver="lbfgs", **options),
    "deep": lambda **options: AutoencoderTransformer(3, hidden_layer_sizes=(5,), **options),
    "cross-entropy": lambda **options: AutoencoderTransformer(3, loss="cross_entropy", init="pca", **options),
    "poisson": lambda **options: AutoencoderTransformer(3, loss="poisson", activation="tanh", **options),
    "share of variance": lambda **options: AutoencoderTransformer(0.6, **options),
    "denoising": lambda **options: DenoisingAutoencoder(3, **options),
    "denoising, joint": lambda **options: DenoisingAutoencoder(3, tied_weights=True, **options),
    "fresh draws": lambda **options: DenoisingAutoencoder(3, expectation="fresh", **options),
    "minibatches": lambda **options: DenoisingAutoencoder(3, loss="cross_entropy", **options),
    "sparse": lambda **options: SparseAutoencoder(3, **options),
    "contractive": lambda **options: ContractiveAutoencoder(3, **options),
}


def make_data(n_samples=60, n_features=8, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n_samples, 3)) @ rng.uniform(size=(3, n_features)) / 3
    X[rng.uniform(size=X.shape) < 0.6] = 0
    return X.astype(dtype)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weights", [None, np.arange(60) % 4], ids=["even", "weighted"])
def test_every_model_and_method_as_for_dense(model, weights):
    X = make_data()
    csr = sparse.csr_array(X)
    expected, fitted = (
        MODELS[model](max_iter=15, random_state=0).fit(data, sample_weight=weights) for data in (X, csr)
    )
    assert fitted.solver_ == expected.solver_
    assert_allclose(fitted.loss_, expected.loss_, rtol=1e-9)
    assert_allclose(fitted.score(csr, sample_weight=weights), expected.score(X, sample_weight=weights), rtol=1e-6)
    for method in ("transform", "reconstruct", "score_samples", "feature_errors", "encoder_jacobian"):
        result = getattr(fitted, method)(csr)
        assert isinstance(result, np.ndarray)
        assert_allclose(result, getattr(fitted, method)(X), rtol=1e-9, atol=1e-12)
        assert_allclose(result, getattr(expected, method)(X), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("make_sparse", FORMATS, ids=lambda make_sparse: make_sparse.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_format_and_dtype(make_sparse, dtype):
    X = make_data(dtype=dtype)
    data = make_sparse(X)
    fitted = AutoencoderTransformer(3, max_iter=15, random_state=0).fit(data)
    assert fitted.coefs_[0].dtype == dtype
    assert fitted.transform(data).dtype == dtype
    expected = AutoencoderTransformer(3, max_iter=15, random_state=0).fit(sparse.csr_array(X))
    assert_array_equal(fitted.transform(data), expected.transform(sparse.csr_array(X)))
    assert data.dtype == dtype
    assert_array_equal(data.toarray(), X)


def test_more_columns_than_rows():
    X = make_data(n_samples=7, n_features=30)
    for options in ({"activation": "identity"}, {"init": "pca"}):
        dense, fitted = (
            AutoencoderTransformer(3, max_iter=5, random_state=0, **options).fit(data)
            for data in (X, sparse.coo_array(X))
        )
        assert_allclose(fitted.transform(X), dense.transform(X), rtol=1e-7, atol=1e-9)


def test_entries_in_several_parts_are_one():
    twice = sparse.csr_array((np.ones(6), [0, 0, 1, 1, 1, 2], [0, 2, 5, 6]), shape=(3, 3))
    before = twice.data.copy(), twice.indices.copy()
    fitted = AutoencoderTransformer(1, random_state=0).fit(twice)
    expected = AutoencoderTransformer(1, random_state=0).fit(np.diag([2.0, 3, 1]))
    assert_allclose(fitted.loss_, expected.loss_, rtol=1e-9)
    assert_array_equal(twice.data, before[0])
    assert_array_equal(twice.indices, before[1])
    assert_allclose(reconstruction_r2(fitted, twice), reconstruction_r2(fitted, twice.toarray()), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    X = sparse.csr_array(make_data())
    X.data[5] = value
    with pytest.raises(ValueError, match="contains"):
        AutoencoderTransformer(3).fit(X)


def test_domain_of_the_loss_counts_the_zeros_too():
    X = sparse.csr_array(make_data())
    X.data += 2
    with pytest.raises(ValueError, match="ranges from 0 to"):
        AutoencoderTransformer(3, loss="cross_entropy").fit(X)


@pytest.mark.parametrize("scorer", [reconstruction_r2, neg_reconstruction_error])
def test_scorers(scorer):
    X = make_data()
    svd = TruncatedSVD(3, random_state=0).fit(X)
    weights = np.arange(len(X)) % 3
    expected = scorer(svd, X, sample_weight=weights)
    assert_allclose(scorer(svd, sparse.csc_array(X), sample_weight=weights), expected, rtol=1e-10)


@pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
def test_memory_is_far_below_that_of_the_dense_array(solver):
    X = sparse.random_array((20_000, 2000), density=0.002, format="csr", random_state=0, dtype=np.float64)
    dense_bytes = 8 * X.shape[0] * X.shape[1]
    autoencoder = AutoencoderTransformer(5, solver=solver, max_iter=2, random_state=0)
    gc.collect()
    tracemalloc.start()
    try:
        autoencoder.fit(X)
        autoencoder.transform(X)
        autoencoder.score(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.3 * dense_bytes


# Corruptions.


def test_masking_hits_the_same_entries_as_in_dense_data():
    X = make_data(n_samples=300)
    csr = sparse.csr_array(X)
    dense, masked = (Masking(0.3).corrupt(data, np.random.default_rng(0)) for data in (X, csr))
    assert sparse.issparse(masked)
    assert masked.nnz < csr.nnz
    assert_array_equal(masked.toarray(), dense)
    assert_array_equal(csr.toarray(), X)


def test_masking_does_not_depend_on_its_blocks(monkeypatch):
    X = make_data()
    whole = Masking(0.3).corrupt(X, np.random.default_rng(0))
    monkeypatch.setattr("skae.corruption._BLOCK_ENTRIES", 24)
    assert_array_equal(Masking(0.3).corrupt(X, np.random.default_rng(0)), whole)


@pytest.mark.parametrize(
    "corruption", [*(part() for part in CORRUPTIONS.values() if not part.keeps_sparse), Blur((2, 4))], ids=repr
)
def test_corruptions_that_fill_in_zeros_are_refused(corruption):
    with pytest.raises(ValueError, match=r"X is sparse, and .* would make it dense.*'masking'"):
        DenoisingAutoencoder(3, corruption=corruption).fit(sparse.csr_array(make_data()))


def corrupted(corruption, X):
    return PreparedCorruption(corruption, rows_of(X), np.ones(X.shape[0])).corrupt(X, np.random.default_rng(0))


def test_callables_get_sparse_and_must_return_it():
    X = sparse.csr_array(make_data())
    kept = corrupted(lambda X, rng: X * 0.5, X)
    assert_array_equal(kept.toarray(), 0.5 * X.toarray())
    with pytest.raises(ValueError, match="must return a sparse array"):
        corrupted(lambda X, rng: X.toarray(), X)
    with pytest.raises(ValueError, match="must return an ndarray"):
        corrupted(lambda X, rng: sparse.csr_array(X), X.toarray())
    with pytest.raises(ValueError, match="NaN or infinity"):
        corrupted(lambda X, rng: X * np.inf, X)
    with pytest.raises(ValueError, match="shape"):
        corrupted(lambda X, rng: X[:, :2], X)


def test_a_callable_cannot_write_into_x():
    X = sparse.csr_array(make_data())
    before = X.toarray()

    def overwrite(X, rng):
        X.data[:] = 0
        return X

    with pytest.raises(ValueError, match="read-only"):
        DenoisingAutoencoder(3, corruption=overwrite).fit(X)
    assert_array_equal(X.toarray(), before)


def test_a_corruption_of_ones_own_says_that_it_keeps_sparse():
    class Halving(Corruption):
        keeps_sparse = True

        def corrupt(self, X, rng):
            return 0.5 * X

    fitted = DenoisingAutoencoder(3, corruption=Halving(), max_iter=5, random_state=0).fit(
        sparse.csr_array(make_data())
    )
    expected = DenoisingAutoencoder(3, corruption=Halving(), max_iter=5, random_state=0).fit(make_data())
    assert_allclose(fitted.loss_, expected.loss_, rtol=1e-9)


# Frames of sparse columns.


@pytest.mark.parametrize("dtype", [bool, int, "uint8", float])
@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, DenoisingAutoencoder])
def test_frames_of_sparse_columns(Autoencoder, dtype):
    """What `get_dummies` makes, everywhere X is taken, as the same frame of dense columns."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.choice(list("pqrs"), 80), "b": rng.choice(list("xyz"), 80)}, index=range(5, 85))
    frame, dense = (pd.get_dummies(table, sparse=is_sparse, dtype=dtype) for is_sparse in (True, False))
    assert all(isinstance(kind, pd.SparseDtype) for kind in frame.dtypes)
    before = frame.copy()
    weights = np.arange(80) % 3
    fitted, expected = (
        Autoencoder(2, max_iter=10, random_state=0).fit(X, sample_weight=weights) for X in (frame, dense)
    )
    assert list(fitted.feature_names_in_) == list(frame.columns)
    assert_allclose(fitted.loss_, expected.loss_, rtol=1e-9)
    for method in ("transform", "reconstruct", "score", "score_samples", "feature_errors", "encoder_jacobian"):
        result = getattr(fitted, method)(frame)
        assert_allclose(result, getattr(expected, method)(dense), rtol=1e-6, atol=1e-9)
        assert np.asarray(result).dtype == np.float64
    for score in reconstruction_r2, neg_reconstruction_error:
        value = score(fitted, frame, sample_weight=weights)
        assert_allclose(value, score(expected, dense, sample_weight=weights), rtol=1e-6)
    errors = feature_errors(fitted, frame)
    assert list(errors.index) == list(frame.index)
    assert list(errors.columns) == list(frame.columns)
    assert_allclose(errors, feature_errors(expected, dense), rtol=1e-6, atol=1e-9)
    codes = fitted.set_output(transform="pandas").transform(frame)
    assert list(codes.index) == list(frame.index)
    Autoencoder(2, max_iter=10, early_stopping=True, random_state=0).fit(frame)
    pd.testing.assert_frame_equal(frame, before)


# The factors of products.


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_products_with_centred_rows(kind):
    rng = np.random.default_rng(0)
    X, offset, W, delta = make_data(), rng.uniform(size=8), rng.uniform(size=(8, 2)), rng.uniform(size=(10, 2))
    scratch = np.empty((12, 8))
    block = rows_of(kind(X)).centred_by(offset, slice(5, 15), scratch)
    assert isinstance(block, Dense if kind is np.asarray else OffsetSparse)
    product, transposed = np.empty((10, 2)), np.empty((8, 2))
    block.times(W, out=product)
    assert_allclose(product, (X[5:15] - offset) @ W, rtol=1e-12)
    block.transposed_times(delta, out=transposed)
    assert_allclose(transposed, (X[5:15] - offset).T @ delta, rtol=1e-12)
    assert_allclose(block.dense(scratch), X[5:15] - offset, rtol=1e-12)
