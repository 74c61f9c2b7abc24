"""The methods of a fitted DaskAutoencoder, scikit-learn's conventions, and bad input."""

import pickle

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, metrics
from skae import dask as skae_dask
from skae.dask import DaskAutoencoder

FRAME = load_iris(as_frame=True).data
X = FRAME.to_numpy()
WEIGHTS = np.random.default_rng(0).uniform(0, 1, len(X)) * (np.arange(len(X)) > 49)
LAZY = ["transform", "reconstruct", "score_samples"]


@pytest.fixture(scope="module")
def array():
    return da.from_array(X, chunks=(50, 4))


@pytest.fixture(scope="module")
def frame():
    return dd.from_pandas(FRAME, npartitions=3)


@pytest.fixture(scope="module")
def fitted(client, array):
    return DaskAutoencoder(AutoencoderTransformer(2, random_state=0), client).fit(array)


@pytest.fixture(scope="module")
def fitted_to_frame(client, frame):
    return DaskAutoencoder(AutoencoderTransformer(2, random_state=0), client).fit(frame)


@pytest.mark.parametrize("method", [*LAZY, "inverse_transform"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lazy_methods_are_those_of_the_local_estimator(fitted, method, dtype):
    rows = X.astype(dtype)
    given = fitted.to_local().transform(rows) if method == "inverse_transform" else rows
    expected = getattr(fitted.estimator_, method)(given)
    result = getattr(fitted, method)(da.from_array(given, chunks=(40, -1)))
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype == result.compute().dtype
    assert type(result._meta) is np.ndarray
    assert result._meta.ndim == expected.ndim
    assert_allclose(result.compute(), expected, rtol=1e-6 if dtype == np.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("method", LAZY)
def test_chunks_may_be_sparse_empty_or_of_unknown_lengths(fitted, method):
    expected = getattr(fitted.estimator_, method)(X[100:])
    unknown = da.from_array(X, chunks=(50, 4))
    unknown = unknown[da.from_array(np.arange(150) >= 100, chunks=50)]
    assert_allclose(getattr(fitted, method)(unknown).compute(), expected, rtol=1e-12)
    sparse = da.from_array(X[100:], chunks=(20, 4)).map_blocks(csr_array, meta=csr_array((0, 0)))
    result = getattr(fitted, method)(sparse).compute()
    assert not issparse(result)
    assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("method", LAZY)
def test_frames(fitted_to_frame, frame, method):
    local = fitted_to_frame.to_local()
    assert_array_equal(fitted_to_frame.feature_names_in_, FRAME.columns)
    assert_allclose(getattr(fitted_to_frame, method)(frame).compute(), getattr(local, method)(FRAME), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        getattr(fitted_to_frame, method)(frame[FRAME.columns[::-1]])


def test_the_chunks_of_a_frame_have_weights_in_a_series(client, frame):
    weights = dd.from_pandas(pd.Series(WEIGHTS, index=FRAME.index), npartitions=3)
    fitted = DaskAutoencoder(AutoencoderTransformer(2, random_state=0), client).fit(frame, sample_weight=weights)
    expected = AutoencoderTransformer(2, random_state=0).fit(FRAME, sample_weight=WEIGHTS)
    assert_allclose(fitted.estimator_.loss_, expected.loss_, rtol=1e-6)


@pytest.mark.parametrize("method", ["transform", "reconstruct"])
def test_set_output_of_the_autoencoder(client, array, frame, method):
    estimator = AutoencoderTransformer(2, random_state=0).set_output(transform="pandas")
    autoencoder = DaskAutoencoder(estimator, client).fit(frame)
    expected = getattr(autoencoder.estimator_, method)(FRAME)
    result = getattr(autoencoder, method)(frame)
    pd.testing.assert_frame_equal(result._meta_nonempty.iloc[:0], expected.iloc[:0])
    pd.testing.assert_frame_equal(result.compute(), expected)
    with pytest.warns(UserWarning, match="valid feature names"):
        of_array = getattr(autoencoder, method)(array)
    assert_allclose(of_array.compute().to_numpy(), expected)


def test_inverse_transform_refuses_other_columns(fitted, array):
    with pytest.raises(ValueError, match="expecting 2 features"):
        fitted.inverse_transform(array)


def test_features_are_checked_at_once(fitted):
    with pytest.raises(ValueError, match="X has 3 features, but AutoencoderTransformer is expecting 4"):
        fitted.transform(da.ones((10, 3)))


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS])
@pytest.mark.parametrize("chunks", [7, 50, 150])
def test_scores(client, fitted, sample_weight, chunks):
    rows, local = da.from_array(X, chunks=(chunks, 4)), fitted.estimator_
    weights = None if sample_weight is None else da.from_array(sample_weight, chunks=30)
    arguments = {"sample_weight": weights}
    assert_allclose(fitted.score(rows, **arguments), local.score(X, sample_weight=sample_weight), rtol=1e-12)
    pipeline = make_pipeline(StandardScaler(), PCA(2)).fit(X)
    for name in ("reconstruction_r2", "neg_reconstruction_error"):
        there, here = getattr(skae_dask, name), getattr(metrics, name)
        assert_allclose(there(fitted, rows, **arguments), here(local, X, sample_weight=sample_weight), rtol=1e-12)
        actual = there(pipeline, rows, client=client, **arguments)
        assert_allclose(actual, here(pipeline, X, sample_weight=sample_weight), rtol=1e-12)


def test_score_refuses_rows_outside_the_domain_of_the_loss(client):
    rows = da.from_array(X / 10, chunks=(50, 4))
    autoencoder = DaskAutoencoder(AutoencoderTransformer(2, loss="cross_entropy", max_iter=2, random_state=0), client)
    autoencoder.fit(rows)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        autoencoder.score(2 * rows)


def test_the_local_estimator_has_no_trace_of_the_cluster(fitted):
    local = fitted.to_local()
    assert local is not fitted.estimator_
    assert b"dask" not in pickle.dumps(local)
    assert b"distributed" not in pickle.dumps(local)
    assert_allclose(local.transform(X), fitted.estimator_.transform(X), rtol=0)


def test_the_client_is_not_pickled(fitted, array):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.client is None
    assert_allclose(again.transform(array).compute(), fitted.transform(array).compute(), rtol=0)


def test_clone_keeps_the_client(fitted):
    copy = clone(fitted)
    assert copy.client is fitted.client
    assert copy.estimator is not fitted.estimator
    assert copy.get_params()["estimator__n_components"] == 2
    assert copy.set_params(estimator__n_components=1).estimator.n_components == 1
    with pytest.raises(NotFittedError):
        copy.transform(X)


def test_fit_transform(client, fitted, array):
    autoencoder = DaskAutoencoder(AutoencoderTransformer(2, random_state=0))  # with the client of this process
    codes = autoencoder.fit_transform(array)
    assert_allclose(codes.compute(), fitted.transform(array).compute(), rtol=1e-10)


def test_names_of_the_codes(fitted):
    assert list(fitted.get_feature_names_out()) == ["autoencodertransformer0", "autoencodertransformer1"]


def fit(client, rows, **options):
    return DaskAutoencoder(AutoencoderTransformer(2, random_state=0, **options), client).fit(rows)


def test_other_chunks_give_the_same_fit(client, fitted, array):
    mask = da.from_array(np.append(np.ones(150), np.zeros(60)) > 0, chunks=70)
    unknown = da.from_array(np.vstack([X, np.full((60, 4), 7.0)]), chunks=(70, 4))[mask]
    for rows in (array.rechunk((33, 2)), unknown, dd.from_dask_array(array)):
        assert_allclose(fit(client, rows).estimator_.loss_, fitted.estimator_.loss_, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "weights", "error", "message"),
    [
        (X, None, TypeError, "Dask array or a Dask data frame, but is a ndarray"),
        (da.ones(5), None, ValueError, "Expected 2D array"),
        (da.ones((0, 4)), None, ValueError, "0 sample"),
        (da.ones((5, 0)), None, ValueError, "number of columns"),
        (da.from_array(np.where(X > 7, np.nan, X), chunks=50), None, ValueError, "contains NaN"),
        (da.ones((8, 4)), np.ones(8), TypeError, "Dask array or a Dask series"),
        (da.ones((8, 4)), da.ones(7), ValueError, "7 entries"),
        (da.ones((8, 4)), da.ones((8, 1)), ValueError, "one dimension"),
        (da.ones((8, 4)), da.zeros(8), ValueError, "only zeros"),
        (da.ones((8, 4)), -da.ones(8), ValueError, "[Nn]egative"),
        (da.ones((8, 4), chunks=4), da.ones(8)[da.ones(8) > 0], ValueError, "lengths of some are unknown"),
        (da.ones((8, 4), chunks=2)[da.ones(8, chunks=2) > 0], None, ValueError, "compute_chunk_sizes"),
    ],
)
def test_bad_input(client, rows, weights, error, message):
    autoencoder = DaskAutoencoder(AutoencoderTransformer(2), client)
    with pytest.raises(error, match=message):
        autoencoder.fit(rows, sample_weight=weights)
    assert not hasattr(autoencoder, "estimator_")


def test_more_columns_than_rows_have_no_closed_form_there(client):
    with pytest.raises(ValueError, match=r"fewer rows \(5\) than columns \(9\)"):
        fit(client, da.random.default_rng(0).random((5, 9)), activation="identity")


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (AutoencoderTransformer(2, n_jobs=2), "n_jobs"),
        (AutoencoderTransformer(2, loss="auto"), "ColumnLosses"),
        (AutoencoderTransformer(-1), "'n_components' parameter"),
        (AutoencoderTransformer, "'estimator' parameter"),
        (PCA(2), "'estimator' parameter"),
    ],
)
def test_what_is_for_fits_in_memory_is_refused(client, array, estimator, message):
    with pytest.raises(ValueError, match=message):
        DaskAutoencoder(estimator, client).fit(array)


def test_warnings_point_at_the_call(client, array):
    with pytest.warns(UserWarning, match="AutoencoderTransformer") as record:
        DaskAutoencoder(AutoencoderTransformer(2, alpha=1e6, random_state=0), client).fit(array)
    assert record[0].filename == __file__


def test_without_a_client_the_error_says_how_to_make_one(array, monkeypatch):
    def none():
        raise ValueError("No global client found and no address provided")

    monkeypatch.setattr("distributed.get_client", none)
    with pytest.raises(ValueError, match=r"client = distributed.Client\(\)"):
        DaskAutoencoder(AutoencoderTransformer(2)).fit(array)
