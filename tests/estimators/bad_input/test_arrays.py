"""Arrays that are refused, arrays that are converted, and layouts in memory that make no difference.

All estimators validate rows by the same functions, and every bad array is tried on one of them.
"""

import gc
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array

from skae import AutoencoderTransformer, ContractiveAutoencoder, SparseAutoencoder

METHODS_ON_ROWS = [
    "fit",
    "fit_transform",
    "transform",
    "reconstruct",
    "score",
    "score_samples",
    "feature_errors",
    "encoder_jacobian",
]
METHODS = [*METHODS_ON_ROWS, "inverse_transform"]
GOOD = np.random.default_rng(1).uniform(size=(5, 4))


def with_entry(value, dtype=float):
    array = GOOD.astype(dtype)
    array[1, 1] = value
    return array


def np_matrix():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(GOOD)


BAD_ARRAYS = {
    "NaN": (with_entry(np.nan), ValueError, "X contains NaN"),
    "float32 NaN": (with_entry(np.nan, np.float32), ValueError, "X contains NaN"),
    "object NaN": (with_entry(np.nan, object), ValueError, "X contains NaN"),
    "pandas NA": (pd.DataFrame(GOOD).astype("Float64").mask(GOOD > 0.7), ValueError, "X contains NaN"),
    "infinity": (with_entry(np.inf), ValueError, "X contains infinity"),
    "minus infinity": (with_entry(-np.inf), ValueError, "X contains infinity"),
    "no rows": (GOOD[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "no columns": (GOOD[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
    "1-D": (GOOD[0], ValueError, "Expected 2D array"),
    "scalar": (3.0, ValueError, "Expected 2D array"),
    "None": (None, ValueError, "Expected 2D array"),
    "3-D": (GOOD[None], ValueError, "dim 3"),
    "strings": (np.full(GOOD.shape, "a"), ValueError, "could not convert|dtype='numeric'"),
    "string objects": (with_entry("a", object), ValueError, "could not convert"),
    "complex": (GOOD + 1j, ValueError, "Complex data not supported"),
    "np.matrix": (np_matrix(), TypeError, "np.matrix is not supported"),
    "masked": (np.ma.masked_array(GOOD, mask=GOOD > 0.7), ValueError, "masked"),
}
BAD_SPARSE_ARRAYS = {
    "NaN": (with_entry(np.nan), "X contains NaN"),
    "float32 NaN": (with_entry(np.nan, np.float32), "X contains NaN"),
    "infinity": (with_entry(np.inf), "X contains infinity"),
    "no rows": (GOOD[:0], r"Found array with 0 sample\(s\)"),
    "no columns": (GOOD[:, :0], r"Found array with 0 feature\(s\)"),
    "complex": (GOOD + 1j, "Complex data not supported"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
@pytest.mark.parametrize("method", METHODS)
def test_bad_array(method, name, method_of):
    array, error, message = BAD_ARRAYS[name]
    with pytest.raises(error, match=message):
        method_of(AutoencoderTransformer, method)(array)


@pytest.mark.covering(method=METHODS_ON_ROWS, make_sparse=[csr_array, csc_array, coo_array], name=[*BAD_SPARSE_ARRAYS])
def test_bad_sparse_array(method, make_sparse, name, method_of):
    array, message = BAD_SPARSE_ARRAYS[name]
    with pytest.raises(ValueError, match=message):
        method_of(AutoencoderTransformer, method)(make_sparse(array))


@pytest.mark.parametrize("method", METHODS)
def test_each_estimator_refuses_nan(Autoencoder, method, method_of):
    with pytest.raises(ValueError, match="X contains NaN"):
        method_of(Autoencoder, method)(with_entry(np.nan))


def test_codes_are_dense(fitted):
    with pytest.raises(TypeError, match=r"[Ss]parse data was passed"):
        fitted(AutoencoderTransformer).inverse_transform(csr_array(GOOD[:, :3]))


CONVERSIONS = {
    "list": np.ndarray.tolist,
    "float16": lambda array: array.astype(np.float16),
    "object": lambda array: array.astype(object),
    "longdouble": lambda array: array.astype(np.longdouble),
    "nothing masked": lambda array: np.ma.masked_array(array, mask=False),
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("name", CONVERSIONS)
@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_other_numbers_become_float64(method, name, fitted):
    values = GOOD[:, : 4 if method == "transform" else 3].astype(np.float16).astype(float)
    convert, apply = CONVERSIONS[name], getattr(fitted(AutoencoderTransformer), method)
    assert apply(convert(values)).dtype == np.float64
    assert_allclose(apply(convert(values)), apply(values), rtol=1e-12)


@pytest.mark.parametrize("dtype", [bool, int, np.uint8, np.float16, object, np.longdouble])
def test_fit_on_other_numbers(dtype, X, make):
    values = (3 * X).astype(bool if dtype is bool else int).astype(dtype)
    estimator = make(AutoencoderTransformer).fit(values)
    assert estimator.coefs_[0].dtype == np.float64
    for same in values.astype(float), values.tolist():
        assert_array_equal(make(AutoencoderTransformer).fit(same).coefs_[0], estimator.coefs_[0])


def test_frame_with_a_column_called_mask(X, make):
    frame = pd.DataFrame({"_mask": X[:, 0], "b": X[:, 1]})
    assert make(AutoencoderTransformer, n_components=1).fit(frame).n_features_in_ == 2


def read_only_memmap(path, array):
    memmap = np.memmap(path, dtype=array.dtype, mode="w+", shape=array.shape)
    memmap[...] = array
    memmap.flush()
    return np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape)


@pytest.mark.parametrize("layout", ["Fortran", "reversed rows", "reversed columns", "every second", "memmap"])
def test_memory_layout(Autoencoder, layout, X, make, tmp_path):
    data = {
        "Fortran": lambda: np.asfortranarray(X),
        "reversed rows": lambda: X[::-1].copy()[::-1],
        "reversed columns": lambda: X[:, ::-1].copy()[:, ::-1],
        "every second": lambda: np.repeat(X, 2, axis=0)[::2],
        "memmap": lambda: read_only_memmap(tmp_path / "X", X),
    }[layout]()
    assert_array_equal(data, X)
    estimator = make(Autoencoder, max_iter=5).fit(data)
    expected = make(Autoencoder, max_iter=5).fit(X)
    for method in ("transform", "reconstruct", "score_samples", "encoder_jacobian"):
        assert_allclose(getattr(estimator, method)(data), getattr(expected, method)(X), rtol=1e-8, atol=1e-10)
    assert_array_equal(data, X)


@pytest.mark.parametrize(
    ("Autoencoder", "order"),
    [
        (AutoencoderTransformer, "C"),
        (AutoencoderTransformer, "F"),
        (AutoencoderTransformer, "reversed"),
        (SparseAutoencoder, "C"),
        (ContractiveAutoencoder, "C"),
    ],
)
def test_data_are_not_copied_whole(Autoencoder, order, make):
    """Beyond 2^22 entries, up to which the distinct rows are put in an order of their own."""
    data = np.random.default_rng(0).uniform(size=(250_000, 20))
    data = data[::-1] if order == "reversed" else np.asarray(data, order=order)
    estimator = make(Autoencoder, n_components=1, max_iter=1)
    gc.collect()
    tracemalloc.start()
    try:
        estimator.fit(data)
        estimator.score_samples(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * data.nbytes
